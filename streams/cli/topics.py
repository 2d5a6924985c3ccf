"""`sluice topics`: the configured topics, and those on the broker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from confluent_kafka.admin import AdminClient

from streams.cli import options
from streams.config.settings import Config, load
from streams.kafka import clients
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topic, Topics, create, differences


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
    click.echo(f"all {len(planned(config))} topics are as they must be")


def require(config: Config) -> None:
    """Raise ClickException where topics are missing or not as the configuration wants them."""
    if found := differences(_admin(config), planned(config)):
        raise click.ClickException(
            "\n".join([*found, "make what is missing: sluice topics create"])
        )


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
