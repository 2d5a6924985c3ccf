"""`sluice health`: what a container's health check asks."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Collection, Sequence
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
    from confluent_kafka import KafkaError, KafkaException

    from streams.config.connection import load_connection
    from streams.kafka import clients
    from streams.kafka.security import for_librdkafka
    from streams.kafka.topics import Topics

    config = load_connection(config_file)
    here = _own_addresses(config.broker.servers)
    admin = clients.admin(for_librdkafka(config.broker))
    workers = Topics(config.topics.prefix).routed("")
    try:
        found = _group_here(admin, [wanted or config.router.id], here)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._UNSUPPORTED_FEATURE:
            raise
        raise click.ClickException(
            "the broker cannot be asked about consumer groups, as an embedded one cannot: ask the "
            "process itself, with --metrics"
        ) from None
    if found is None and wanted is None:
        # Workers of pools, and of models that were added at run time, are in no configuration.
        found = _group_here(admin, _groups(admin, workers), here)
    if found is None:
        asked = wanted or f"{config.router.id} or {workers}*"
        where = ", ".join(sorted(here))
        raise click.ClickException(f"no member of group {asked} is from this machine ({where})")
    click.echo(f"in group {found.group_id}, {found.state.name.lower()}")


def _group_here(admin: Any, names: Sequence[str], here: Collection[str]) -> Any:
    """Return the description of the first group with a member at these addresses, None for none.

    Waits for a coordinator that is being made.
    """
    from confluent_kafka import ConsumerGroupState

    from streams.kafka.admin import ANSWER
    from streams.kafka.waiting import until_answered

    def ask() -> list[Any]:
        described = admin.describe_consumer_groups(list(names), request_timeout=ANSWER)
        return [described[name].result(TIMEOUT) for name in names]

    if not names:
        return None
    over = (ConsumerGroupState.DEAD, ConsumerGroupState.EMPTY)
    for one in until_answered(f"describing consumer groups {', '.join(names)}", ask, TIMEOUT):
        hosts = {member.host.lstrip("/") for member in one.members}
        if one.state not in over and not hosts.isdisjoint(here):
            return one
    return None


def _groups(admin: Any, prefix: str) -> list[str]:
    """Return the names of all consumer groups that begin so."""
    from streams.kafka.admin import ANSWER
    from streams.kafka.waiting import until_answered

    def ask() -> list[str]:
        listed = admin.list_consumer_groups(request_timeout=ANSWER).result(TIMEOUT)
        return sorted(one.group_id for one in listed.valid if one.group_id.startswith(prefix))

    return until_answered("listing the consumer groups", ask, TIMEOUT)


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
