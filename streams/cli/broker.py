"""`sluice broker`: a broker on this machine, in memory or a real Kafka."""

from __future__ import annotations

from pathlib import Path

import click

from streams.brokers import jars, kafka
from streams.brokers.embedded import EmbeddedBroker
from streams.cli.options import FILE, FOLDER, ending
from streams.cli.planning import planned
from streams.config.settings import load

FOLDER_OPTION = click.option(
    "--data", type=FOLDER, default=Path(".kafka"), help="Folder of Kafka's data and log."
)


@click.group()
def group() -> None:
    """Start a broker on this machine, or stop it."""


@group.command()
@click.option("--config", "-c", "config_file", type=FILE, help="Make this configuration's topics.")
def embedded(config_file: Path | None) -> None:
    """Run a broker in memory until Ctrl-C. Nothing survives it."""
    topics = planned(load(config_file)) if config_file else ()
    with ending() as ended, EmbeddedBroker({t.name: t.partitions for t in topics}) as broker:
        click.echo(f"SLUICE_BROKER={broker.servers}")
        click.echo(f"{len(topics)} topics; all in memory, gone at the end (Ctrl-C)", err=True)
        ended.wait()


@group.command("kafka")
@click.option("--port", default=9092, type=click.IntRange(0, 65_535), help="0 takes a free one.")
@click.option("--heap", default="1g", help="As `java -Xmx` takes it.")
@click.option("--detach", is_flag=True, help="Return when it is up, and leave it running.")
@FOLDER_OPTION
def real(data: Path, port: int, heap: str, detach: bool) -> None:
    """Run Apache Kafka on loopback until Ctrl-C. Needs Java and, the first time, Maven."""
    if not jars.folder().is_dir():
        click.echo(f"fetching Apache Kafka {jars.VERSION} into {jars.folder()}", err=True)
    server = kafka.KafkaServer(data, port, heap)
    with ending() as ended:
        server.start()
        click.echo(f"SLUICE_BROKER={server.servers}")
        click.echo(f"Apache Kafka {jars.VERSION}; log: {server.log}", err=True)
        if detach:
            server.detach()
            return
        try:
            while not ended.wait(0.5):
                server.check()
        finally:
            server.stop()


@group.command()
@FOLDER_OPTION
def stop(data: Path) -> None:
    """Stop the Kafka that was started with --detach on the same --data."""
    if kafka.stop_in(data):
        click.echo("stopped")
    else:
        click.echo(f"no Kafka is running on {data}")
