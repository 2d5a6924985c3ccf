"""`sluice health`: what a container's health check asks."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import Any

import click

from streams.cli import options

TIMEOUT = 10.0
"""Seconds."""
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Addresses to listen on everywhere, and where this machine reaches them."""


@click.command()
@options.config
@click.option("--group", help="Ask the broker about this consumer group only.")
@click.option(
    "--metrics",
    callback=options.address,
    envvar="SLUICE_METRICS",
    metavar="HOST:PORT",
    help="Where the process answers Prometheus; else SLUICE_METRICS. It is asked itself then.",
)
def command(config_file: Path, group: str | None, metrics: tuple[str, int] | None) -> None:
    """Say whether the router or worker of this machine is ready.

    For a container's health check. With --metrics (or SLUICE_METRICS) the process itself is asked,
    at /readyz. Without, or with --group, the broker is asked whether a process of this machine's
    address takes part in a consumer group of this configuration. Exits with 1 where it is not so.
    """
    if metrics is not None and group is None:
        _ask_process(*metrics)
    else:
        _ask_broker(config_file, group)


def _ask_process(host: str, port: int) -> None:
    """Print what /readyz says. Raises ClickException where the process is not ready."""
    where = f"http://{host}:{port}/readyz"
    connection = http.client.HTTPConnection(ANYWHERE.get(host, host), port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        words = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(f"{where} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise click.ClickException(f"not ready: {words}")
    click.echo("ready")


def _ask_broker(config_file: Path, wanted: str | None) -> None:
    """Print the group that this machine has a member in. Raises ClickException for none."""
    from confluent_kafka import ConsumerGroupState

    from streams.config.connection import load_connection
    from streams.kafka import clients
    from streams.kafka.security import for_librdkafka
    from streams.kafka.topics import Topics

    config = load_connection(config_file)
    topics = Topics(config.topics.prefix)
    own = dict.fromkeys([config.router.id, *map(topics.routed, config.models)])
    groups = [wanted] if wanted else list(own)
    here = _own_addresses(config.broker.servers)
    admin = clients.admin(for_librdkafka(config.broker))
    for name in groups:
        found = _description(admin, name)
        hosts = {member.host.lstrip("/") for member in found.members}
        if found.state not in (ConsumerGroupState.DEAD, ConsumerGroupState.EMPTY) and hosts & here:
            click.echo(f"in group {name}, {found.state.name.lower()}")
            return
    raise click.ClickException(
        f"no member of group {' or '.join(groups)} is from this machine ({', '.join(sorted(here))})"
    )


def _description(admin: Any, group: str) -> Any:
    """Return a consumer group's state and members; waits for a coordinator that is being made."""
    from streams.kafka.admin import ANSWER
    from streams.kafka.waiting import until_answered

    def ask() -> Any:
        return admin.describe_consumer_groups([group], request_timeout=ANSWER)[group].result(
            TIMEOUT
        )

    return until_answered(f"describing the consumer group {group}", ask, TIMEOUT)


def _own_addresses(servers: str) -> set[str]:
    """The addresses under which brokers see this machine. Nothing is sent to find them."""
    found = set()
    for server in servers.split(","):
        host, _, port = server.rpartition(":")
        for family, kind, *_, address in socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_DGRAM
        ):
            with socket.socket(family, kind) as probe:
                probe.connect(address)
                found.add(str(probe.getsockname()[0]))
    return found
