"""The topics that a backup is restored to; the whole way is `tests/e2e/test_backup.py`."""

from __future__ import annotations

import pytest

from streams.backup.archive import BackupError, Manifest, PartitionFile, TopicFiles
from streams.backup.restoring import WRITERS, as_saved, fill_together
from streams.brokers.kafka import KafkaServer
from streams.config.connection import Broker
from streams.kafka.logs import Logs, Record, Span
from streams.kafka.topics import Topics


def manifest(*names: str, partitions: int = 4, without: str = "") -> Manifest:
    """A backup of the topics of model "m" and of others, each with so many partitions."""
    planned = [topic.name for topic in Topics().planned(["m"])]
    files = [
        TopicFiles(
            name=name,
            id="",
            partitions=[
                PartitionFile(number=number, start=0, end=0, records=0, sha256="")
                for number in range(partitions)
            ],
        )
        for name in [*planned, *names]
        if name != without
    ]
    return Manifest(sluice="1", made_at=0.0, prefix="", topics=files, groups={})


def test_partitions_are_those_of_the_backup() -> None:
    """Also of models that are no longer configured; topics that it lacks begin as the others."""
    planned = Topics().planned(["m", "new"], partitions=2, model_partitions=3)
    found = as_saved(manifest("routed.old", without="starts"), planned, "routed.")
    counts = {topic.name: topic.partitions for topic in found}
    assert counts["queries"] == counts["starts"] == counts["routed.m"] == 4
    assert counts["routed.old"] == 4
    assert counts["routed.new"] == 3
    settings = {topic.name: topic.settings for topic in found}
    assert settings["routed.old"] == settings["routed.m"]


def test_a_foreign_topic_is_refused() -> None:
    """A folder that somebody has put together is not restored in part."""
    with pytest.raises(BackupError, match="'orders' is none of this deployment's"):
        as_saved(manifest("orders"), Topics().planned(["m"]), "routed.")


@pytest.mark.kafka
def test_partitions_are_filled_together(kafka_broker: KafkaServer, prefix: str) -> None:
    """More than there are writers, each with gaps; a second time they are not empty, and one that
    fails ends all."""
    topic, count = f"{prefix}topic", WRITERS + 3
    kafka_broker.create({topic: count})
    records = {
        number: [
            Record(topic, number, offset, 1_700_000_000_000, b"%d" % number, b"v", [])
            for offset in range(0, 6, 2)
        ]
        for number in range(count)
    }
    parts = [(Span(topic, number, 0, 6), held) for number, held in records.items()]
    broker, told = Broker(servers=kafka_broker.servers), list[int]()
    fill_together(broker, parts, told.append)
    assert sum(told) == 3 * count
    logs = Logs(broker)
    for span in logs.spans(topic):
        assert list(logs.read([span])) == records[span.partition]
    with pytest.raises(BackupError, match="somebody else"):
        fill_together(broker, parts)
