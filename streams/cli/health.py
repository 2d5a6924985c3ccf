"""`sluice health`: what a container's health check asks."""

from __future__ import annotations

import socket
from pathlib import Path

import click
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from streams.cli import options
from streams.config.settings import load
from streams.kafka import clients
from streams.kafka.security import for_librdkafka

TIMEOUT = 10.0


@click.command()
@options.config
@click.option("--group", "wanted", help="Look at this consumer group only. [default: any]")
def command(config_file: Path, wanted: str | None) -> None:
    """Say whether a router or worker of this machine takes part in its consumer group.

    Asked of the broker, so it sees a process that hangs or has lost its connection. Exits with 1
    where no member is from this machine's address; meant for containers, which have one each.
    """
    broker = load(config_file).broker
    admin = clients.admin(for_librdkafka(broker))
    here = _own_addresses(broker.servers)
    groups = [wanted] if wanted else _groups(admin)
    for name, answer in admin.describe_consumer_groups(groups).items() if groups else ():
        group = answer.result(TIMEOUT)
        hosts = {member.host.lstrip("/") for member in group.members}
        if group.state not in (ConsumerGroupState.DEAD, ConsumerGroupState.EMPTY) and hosts & here:
            click.echo(f"in group {name}, {group.state.name.lower()}")
            return
    raise click.ClickException(
        f"no member of {f'group {wanted}' if wanted else 'any group'} is from this machine "
        f"({', '.join(sorted(here))})"
    )


def _groups(admin: AdminClient) -> list[str]:
    return [group.group_id for group in admin.list_consumer_groups().result(TIMEOUT).valid]


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
