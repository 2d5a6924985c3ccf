"""The topics that a configuration asks for, and whether the broker has them."""

from __future__ import annotations

from collections.abc import Sequence

import click
from confluent_kafka.admin import AdminClient

from streams.config.settings import Config
from streams.kafka import clients
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topic, Topics, differences, partition_counts


def require(config: Config) -> int:
    """Return the partitions that all topics which share the queries' numbers have.

    Raises ClickException where topics are missing or not as the configuration wants them. Where one
    of them has more partitions than others, a router says so while it runs.
    """
    admin, topics = admin_of(config), planned(config)
    if found := differences(admin, topics):
        raise click.ClickException(
            "\n".join([*found, "make what is missing with: sluice topics create"])
        )
    known = partition_counts(admin)
    return min(known[topic.name] for topic in topics if topic.shared)


def planned(config: Config) -> Sequence[Topic]:
    """The topics that a configuration asks for. Raises ClickException where models collide."""
    topics = config.topics
    try:
        return Topics(topics.prefix).planned(
            config.served(), topics.partitions, topics.model_partitions
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def admin_of(config: Config) -> AdminClient:
    """Make an admin client of the configured broker."""
    return clients.admin(for_librdkafka(config.broker))
