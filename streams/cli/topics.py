"""`sluice topics`: the configured topics, and those on the broker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from confluent_kafka.admin import AdminClient

from streams.cli import options
from streams.config.settings import Config, load
from streams.kafka import clients
from streams.kafka.growth import grow
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topic, Topics, create, differences, partition_counts, uneven

GROWN = (
    "Running routers take new partitions up within seconds, with shares of each limit by grant; "
    "nothing has to be restarted.\n"
    "Queries under way stay on their partitions. From now on keys may go to other partitions: an "
    "id that was sent before is taken for new where it comes to another one."
)


@click.group()
def group() -> None:
    """Make the topics, or check them."""


@group.command("create")
@options.config
def create_topics(config_file: Path) -> None:
    """Make the topics that are missing. What is there already is checked, never changed."""
    config = load(config_file)
    made = create(_admin(config), planned(config), config.topics.replicas)
    for name in made:
        click.echo(f"made {name}")
    click.echo(f"{len(made)} made, {len(planned(config)) - len(made)} were there already")


@group.command("list")
@options.config
def list_topics(config_file: Path) -> None:
    """Show the topics as the configuration wants them. Asks no broker."""
    topics = planned(load(config_file))
    width = max(len(topic.name) for topic in topics)
    click.echo(f"{'topic':{width}}  partitions  {'cleanup':14}  kept")
    for topic in topics:
        kept = "for ever" if topic.retention is None else f"{topic.retention // 86_400} days"
        click.echo(f"{topic.name:{width}}  {topic.partitions:10}  {topic.cleanup:14}  {kept}")


@group.command()
@options.config
def check(config_file: Path) -> None:
    """Compare the broker's topics with the configuration; exit with 1 if they differ."""
    config = load(config_file)
    require(config)
    if found := uneven(planned(config), partition_counts(_admin(config))):
        raise click.ClickException(found)
    click.echo(f"all {len(planned(config))} topics are as they must be")


@group.command("grow")
@options.config
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    required=True,
    help="Of queries, and of all topics with the same partition numbers.",
)
def grow_topics(config_file: Path, partitions: int) -> None:
    """Add partitions to the queries, and to all topics that share their partition numbers.

    Routers, workers and clients may run meanwhile, and take the new partitions up by themselves.
    If it is interrupted, run it again. Partitions cannot be taken away.
    """
    config = load(config_file)
    if partitions < config.topics.partitions:
        raise click.ClickException(
            f"the configuration says {config.topics.partitions} partitions, more than "
            f"{partitions}: partitions cannot be taken away"
        )
    topics = planned(config)
    grown = grow(_admin(config), topics, Topics(config.topics.prefix).queries, partitions)
    for name in grown:
        click.echo(f"{name} has {partitions} partitions")
    shared = sum(topic.shared for topic in topics)
    click.echo(f"{len(grown)} grown, {shared - len(grown)} had {partitions} partitions already")
    click.echo(GROWN)


def require(config: Config) -> int:
    """Return the partitions that all topics which share the queries' numbers have.

    Raises ClickException where topics are missing or not as the configuration wants them. Where one
    of them has more partitions than others, a router says so while it runs.
    """
    admin, topics = _admin(config), planned(config)
    if found := differences(admin, topics):
        raise click.ClickException(
            "\n".join([*found, "make what is missing: sluice topics create"])
        )
    known = partition_counts(admin)
    return min(known[topic.name] for topic in topics if topic.shared)


def planned(config: Config) -> Sequence[Topic]:
    """The topics that a configuration asks for. Raises ClickException where models collide."""
    topics = config.topics
    try:
        return Topics(topics.prefix).planned(
            list(config.models), topics.partitions, topics.model_partitions
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _admin(config: Config) -> AdminClient:
    return clients.admin(for_librdkafka(config.broker))
