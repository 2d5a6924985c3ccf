"""A deployment that is backed up, deleted, restored, and goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from streams.brokers.kafka import KafkaServer
from tests.e2e.test_transactions import transactional
from tests.support import invariants
from tests.support.patience import PATIENCE
from tests.support.records import Record, Records, trace
from tests.support.system import System


def everything(system: System) -> dict[str, list[Record]]:
    """All records of all topics."""
    return {name: system.read(name) for name in sorted(system.counts)}


def abort_and_commit(broker: KafkaServer, system: System) -> None:
    """Leave gaps in the queries: records of an aborted transaction, and marks of two."""
    producer = transactional(broker, f"{system.prefix}gaps")
    for _ in range(3):
        producer.produce(system.topics.queries, b"never there", b"key", 0)
    producer.flush(PATIENCE)
    producer.abort_transaction(PATIENCE)
    producer.begin_transaction()
    query = b'{"id":"committed","prompt":"Hello?"}'
    system.sent["committed"] = query
    producer.produce(
        system.topics.queries, query, b"committed", 0, headers=dict(trace("committed"))
    )
    producer.flush(PATIENCE)
    producer.commit_transaction(PATIENCE)


@pytest.mark.kafka
def test_backed_up_deleted_restored(kafka_broker: KafkaServer, tmp_path: Path, prefix: str) -> None:
    """Every record is where it was, also behind transactions; what was decided is not decided
    again, what was answered is not asked again, the rest is, and the audit is equal."""
    # Nothing waits for money: what a pass was just deciding when the router stops leaves again.
    with System(kafka_broker, tmp_path, prefix, size=120, store="rocksdb", plenty=100.0) as system:
        system.start_router("r0")
        system.start_worker("w0")
        system.produce(0, 30)
        abort_and_commit(kafka_broker, system)
        system.produce(30, 60)
        system.wait_settled()
        backup = tmp_path / "backup"
        assert "have members" in system.sluice("topics", "backup", backup, code=1)
        assert "have members" in system.sluice("topics", "delete", "--yes", code=1)
        assert (system.stop("w0"), system.stop("r0")) == (0, 0)
        system.produce(60, 90)  # clients go on
        system.sluice("topics", "backup", backup)
        before = everything(system)
        assert "have records" in system.sluice("topics", "restore", backup, code=1)
        asked = system.sluice("topics", "delete", code=1)
        assert f"{system.topics.queries}: 9" in asked
        assert "Aborted" in asked
        system.sluice("topics", "delete", "--yes")
        assert "is missing" in system.sluice("topics", "check", code=1)
        system.sluice("topics", "restore", backup)
        system.sluice("topics", "check")
        system.records.close()
        system.records = Records(kafka_broker.servers, system.counts)
        assert_same(system, before, everything(system))
        system.start_router("r0")
        system.start_worker("w0")
        system.produce(90, 120)
        system.wait_settled()
        story = invariants.hold(system)
        once = {receipt.decision_id for _, receipt in story.receipts}
        assert len(once) == len(story.receipts), "nothing is decided twice"
        answered = [record.json()["decision_id"] for record in system.read(system.topics.results)]
        assert len(set(answered)) == len(answered), "nothing is answered twice"
        assert (system.stop("w0"), system.stop("r0")) == (0, 0)
        system.verify()


def assert_same(
    system: System, before: dict[str, list[Record]], after: dict[str, list[Record]]
) -> None:
    """All records are equal, but for the topics' ids in the states."""
    for name, records in before.items():
        values = name != system.topics.changelog
        assert shapes(records, values) == shapes(after[name], values), name


def shapes(records: list[Record], values: bool) -> Sequence[object]:
    """What must be equal of records, by partition and offset. values: whether those must, too."""
    return sorted(
        (r.partition, r.offset, r.key, r.timestamp, sorted(r.headers.items()), values and r.value)
        for r in records
    )
