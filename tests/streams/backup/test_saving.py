"""What a backup holds of the topics, and that they were of one moment."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams.backup.archive import BackupError, read
from streams.backup.saving import require_unmoved, save
from streams.brokers.embedded import EmbeddedBroker
from streams.config.settings import Broker as Configured
from streams.kafka.groups import Group
from streams.kafka.logs import Logs, Span


def test_topics_groups_and_counts(
    embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str
) -> None:
    """Each partition has a file with its records; groups have their offsets."""
    topic = f"{prefix}t"
    embedded_broker.create({topic: 2})
    producer = Producer({"bootstrap.servers": embedded_broker.servers})
    for number in range(5):
        producer.produce(topic, b"%d" % number, b"key", 1)
    assert producer.flush(60.0) == 0
    logs, told = Logs(Configured(servers=embedded_broker.servers)), list[int]()
    group = Group("router", 0, {topic: {1: 3}})
    spans = {topic: logs.spans(topic)}
    manifest = save(tmp_path, logs, spans, {topic: "life"}, prefix, [group], told.append)
    [files] = manifest.topics
    assert (files.name, files.id) == (topic, "life")
    assert [(p.number, p.start, p.end, p.records) for p in files.partitions] == [
        (0, 0, 0, 0),
        (1, 0, 5, 5),
    ]
    assert [r.value for r in read(tmp_path, topic, files.partitions[1])] == [
        b"%d" % number for number in range(5)
    ]
    assert manifest.groups == {"router": {topic: {1: 3}}}
    assert manifest.prefix == prefix
    assert sum(told) == 5


def test_writers_are_noticed() -> None:
    """Clients may send queries meanwhile; nothing else may have moved."""
    before = {"queries": [Span("queries", 0, 0, 5)], "results": [Span("results", 0, 2, 5)]}
    grown = {"queries": [Span("queries", 0, 0, 9)], "results": [Span("results", 0, 4, 5)]}
    require_unmoved(before, grown, "queries")
    grown["results"] = [Span("results", 0, 2, 6)]
    with pytest.raises(BackupError, match="results was written to"):
        require_unmoved(before, grown, "queries")
