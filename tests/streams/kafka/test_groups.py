"""Consumer groups of a deployment's topics."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer
from confluent_kafka.cimpl import NewTopic

from streams.brokers.kafka import KafkaServer
from streams.kafka import clients
from streams.kafka.admin import make
from streams.kafka.groups import commit, groups_of


@pytest.mark.kafka
def test_members_and_offsets(kafka_broker: KafkaServer, prefix: str) -> None:
    """Of all groups those are found that read the topics, by members or by what they committed."""
    connection = {"bootstrap.servers": kafka_broker.servers}
    admin = clients.admin(connection)
    own, other = f"{prefix}own", f"{prefix}other"
    make(admin, [NewTopic(name, 2, replication_factor=1) for name in (own, other)])
    commit(admin, {f"{prefix}a": {own: {0: 3, 1: 5}}, f"{prefix}b": {own: {0: 1}, other: {0: 2}}})
    commit(admin, {f"{prefix}c": {other: {0: 9}}, f"{prefix}none": {}})
    member = Consumer({**connection, "group.id": f"{prefix}d", "auto.offset.reset": "earliest"})
    member.subscribe([own])
    try:
        found = {group.name: group for group in groups_of(admin, [own])}
        while f"{prefix}d" not in found:
            member.poll(0.1)
            found = {group.name: group for group in groups_of(admin, [own])}
    finally:
        member.close()
    assert found.keys() == {f"{prefix}{letter}" for letter in "abd"}
    a, b, d = (found[f"{prefix}{letter}"] for letter in "abd")
    assert (a.offsets, a.members, a.elsewhere) == ({own: {0: 3, 1: 5}}, 0, False)
    assert (b.offsets, b.elsewhere) == ({own: {0: 1}}, True)
    assert (d.members, d.reads) == (1, frozenset({own}))
