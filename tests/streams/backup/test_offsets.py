"""Records come to the offsets that they had, whatever lies between them."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic

from streams.backup import offsets as offsets_module
from streams.backup.archive import BackupError
from streams.backup.offsets import LONGEST, NEAR, OffsetWriter
from streams.brokers.kafka import KafkaServer
from streams.config.settings import Broker as Configured
from streams.kafka import clients
from streams.kafka.admin import make
from streams.kafka.logs import Logs, Record, Span

LAYOUTS = {
    "empty": (0, 0, []),
    "nothing left": (0, 7, []),
    "whole": (0, 3, [0, 1, 2]),
    "begins later": (4, 6, [4, 5]),
    "begins before its first record": (0, 9, [6, 7, 8]),
    "gaps of one": (0, 6, [0, 2, 4]),
    "gaps of two and more": (0, 30, [0, 3, 4, 10, 27]),
    "a gap far from others": (0, 2 * NEAR + 9, [0, *range(2, 2 * NEAR + 6)]),
    "gaps of one that end far from others": (0, 2 * NEAR + 9, [0, 2, 4, *range(6, 2 * NEAR + 9)]),
    "mixed": (2, 40, [3, 5, 8, 9, 11, 20, 22, 37]),
}
"""First offset, the one after the last, and those that have records."""


@pytest.mark.kafka
@pytest.mark.parametrize("longest", [LONGEST, 0.0], ids=["shared", "each its own"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_offsets_are_kept(
    kafka_broker: KafkaServer,
    prefix: str,
    layout: str,
    longest: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader finds each record where it was, and the end; of what fills gaps it sees nothing.
    So it is where gaps share transactions, and where these have to end soon."""
    monkeypatch.setattr(offsets_module, "LONGEST", longest)
    start, end, offsets = LAYOUTS[layout]
    topic = f"{prefix}topic"
    connection = {"bootstrap.servers": kafka_broker.servers}
    make(clients.admin(connection), [NewTopic(topic, 2, replication_factor=1)])
    records = [
        Record(topic, 1, offset, 1_700_000_000_000 + offset, b"%d" % offset, b"v", [("a", b"b")])
        for offset in offsets
    ]
    told: list[int] = []
    with OffsetWriter(Configured(servers=kafka_broker.servers)) as writer:
        writer.fill(Span(topic, 1, start, end), records, told.append)
    logs = Logs(Configured(servers=kafka_broker.servers))
    [untouched, span] = logs.spans(topic)
    assert untouched.end == 0
    assert span.end == end
    assert list(logs.read([span])) == records
    assert sum(told) == len(records)
    assert span.start == (offsets[0] if offsets else end)


@pytest.mark.kafka
def test_somebody_else_who_writes_is_noticed(kafka_broker: KafkaServer, prefix: str) -> None:
    """A record that would come to another offset ends it."""
    topic = f"{prefix}topic"
    connection = {"bootstrap.servers": kafka_broker.servers}
    make(clients.admin(connection), [NewTopic(topic, 1, replication_factor=1)])
    producer = Producer(connection)
    producer.produce(topic, b"other")
    assert producer.flush(60.0) == 0
    record = Record(topic, 0, 0, 1, b"key", b"value", [])
    with (
        OffsetWriter(Configured(servers=kafka_broker.servers)) as writer,
        pytest.raises(BackupError, match="to offset 1 inst"),
    ):
        writer.fill(Span(topic, 0, 0, 1), [record])
