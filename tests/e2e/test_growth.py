"""Topics that gain partitions under load."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from streams.brokers.kafka import KafkaServer
from tests.support import invariants
from tests.support.growth import grow
from tests.support.patience import PATIENCE
from tests.support.records import trace
from tests.support.system import System

BEFORE, AFTER = 3, 6


@pytest.mark.kafka
def test_grown_under_load(kafka_broker: KafkaServer, tmp_path: Path, prefix: str) -> None:
    """Somebody grows the queries alone: routers say what to do, and go on. Then the command
    finishes it while a router is dead: what waited on the new partitions is decided, each query
    once, within the limits, and the audit and a replay are equal."""
    with System(kafka_broker, tmp_path, prefix, size=400, store="rocksdb") as system:
        for name in ("r0", "r1"):
            system.start_router(name)
        system.start_worker("w0")
        system.wait_members(2)
        system.produce_meanwhile(0, 300, rate=40)
        system.wait("the first decisions", lambda: len(system.decided()) >= 20)
        grow_queries_alone(system)
        system.kill("r1")
        grow(system, AFTER)
        system.start_router("r1")
        system.wait_members(2)
        system.produce(320, 400)
        system.wait_settled()
        story = invariants.hold(system)
        invariants.grants_within_limits(system)
        decided = {receipt.source.partition for _, receipt in story.receipts}
        assert decided == set(range(AFTER)), "each partition decides"
        first = {number: states[0] for number, states in story.states().items()}
        assert all(sum(a.share for a in first[n].accounts.values()) for n in range(BEFORE))
        assert not any(a.share for n in range(BEFORE, AFTER) for a in first[n].accounts.values())
        for name in ("r0", "r1", "w0"):
            assert system.stop(name) == 0
        tools_agree(system)


def grow_queries_alone(system: System) -> None:
    """As another tool does it, and send queries 300 to 320 to the partitions that nobody reads."""
    queries, servers = system.topics.queries, system.broker.servers
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_partitions([NewPartitions(queries, AFTER)])[queries].result(PATIENCE)
    told = f"finish with `sluice topics grow --partitions {AFTER}`"
    logs = [system.children[name].log for name in ("r0", "r1")]
    system.wait("routers to say so", lambda: all(told in log.read_text() for log in logs))
    assert told in system.sluice("topics", "check", code=1)
    system.producer.list_topics(queries, timeout=PATIENCE)
    for row in range(300, 320):
        id, number = system.queries.ids[row], BEFORE + row % (AFTER - BEFORE)
        system.sent[id] = orjson.dumps({"id": id, "prompt": "Where do I belong?"})
        system.send(queries, system.sent[id], id.encode(), number, trace(id))
    system.flush()


def tools_agree(system: System) -> None:
    """All that reads a deployment accepts one that has grown; it grows no more, and never back."""
    system.verify()
    system.sluice("budget", "show")
    system.sluice("topics", "check")
    command = ("topics", "grow", "--partitions")
    assert "0 grown" in system.sluice(*command, AFTER)
    assert "partitions cannot be taken away" in system.sluice(*command, 2, code=1)
    assert "Kafka cannot take partitions away" in system.sluice(*command, 4, code=1)
