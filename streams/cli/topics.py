"""`sluice topics`: the configured topics, and those on the broker."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli import options
from streams.cli.planning import admin_of, planned, require
from streams.cli.topic_state import backup, delete, restore
from streams.config.settings import load
from streams.kafka.growth import grow
from streams.kafka.topics import Topics, create, partition_counts, uneven

GROWN = (
    "Running routers take new partitions up within seconds, with shares of each limit by grant; "
    "nothing has to be restarted.\n"
    "Queries under way stay on their partitions. From now on keys may go to other partitions: an "
    "id that was sent before is taken for new where it comes to another one."
)


@click.group()
def group() -> None:
    """Make, check, grow, delete, back up or restore the topics."""


@group.command("create")
@options.config
def create_topics(config_file: Path) -> None:
    """Make the topics that are missing. What is there already is checked, never changed."""
    config = load(config_file)
    made = create(admin_of(config), planned(config), config.topics.replicas)
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
    if found := uneven(planned(config), partition_counts(admin_of(config))):
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
    grown = grow(admin_of(config), topics, Topics(config.topics.prefix).queries, partitions)
    for name in grown:
        click.echo(f"{name} has {partitions} partitions")
    shared = sum(topic.shared for topic in topics)
    click.echo(f"{len(grown)} grown, {shared - len(grown)} had {partitions} partitions already")
    click.echo(GROWN)


for command in (delete, backup, restore):
    group.add_command(command)
