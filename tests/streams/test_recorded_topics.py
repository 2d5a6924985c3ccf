"""Topics that an earlier version wrote are still read: audit, replay, and a partition's state.

How a recording is made stands in `tests.support.recording`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import orjson
import pytest

from router.budget.ledger import Ledger
from schemas.wire import decode, encode
from streams.brokers.embedded import EmbeddedBroker
from streams.config.settings import Config
from streams.control.registry import Registry
from streams.kafka.logs import Record
from streams.state.fence import rightful
from streams.state.rows import ROW_PREFIXES, STATE_BYTES, STATE_KEY, Row, State
from streams.state.store import MemoryStore
from tests.support.recorded import RecordedOutbox, open_partition
from tests.support.recording import RECORDINGS, Recording, Restored


@pytest.fixture(scope="module", params=RECORDINGS, ids=lambda path: path.name.split(".jsonl")[0])
def recording(request: pytest.FixtureRequest) -> Recording:
    """The topics of one earlier version."""
    return Recording.read(request.param)


@pytest.fixture(scope="module")
def restored(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    """A broker of its own: the recorded prefix belongs to nobody else there."""
    with EmbeddedBroker() as broker:
        yield Restored(recording, broker, tmp_path_factory.mktemp("recording"))


def test_there_is_a_recording() -> None:
    """Without one, nothing here would be tested."""
    assert RECORDINGS


def test_what_the_recording_holds(recording: Recording) -> None:
    """Every topic has records, and the rows and states of the changelog are of every kind."""
    assert {record.topic for record in recording.records} >= {
        f"rec.{name}"
        for name in (
            "queries",
            "results",
            "receipts",
            "deferred",
            "rejected",
            "control",
            "prices",
            "share-reports",
            "share-grants",
            "partitions-changelog",
            "controller-changelog",
        )
    }
    rows = [decode(Row, one.value) for one in changelog(recording) if is_row(one) and one.value]
    assert {row.receipt.decision for row in rows} >= {"routed", "deferred", "rejected"}
    assert any(row.expired for row in rows)
    assert recording.header.audit["equal"]
    assert recording.header.verified["same"]


def test_audit_finds_the_same(restored: Restored, recording: Recording) -> None:
    """The ledger equals the log, and every figure is the one that the version before found."""
    found, values = restored.figures("audit")
    assert found.exit_code == 0, found.output
    assert values == recording.header.audit


def test_replay_takes_every_decision_again(restored: Restored, recording: Recording) -> None:
    """To the byte of its receipt, on the index that the version before built."""
    found, values = restored.figures("replay", "--verify")
    assert found.exit_code == 0, found.output
    assert values == recording.header.verified


def test_a_partition_loads_its_state(restored: Restored, recording: Recording) -> None:
    """From the changelog, with every open row, position and amount as they were written."""
    config = restored.config
    for number in range(recording.header.partitions["rec.queries"]):
        records = recording.of("partitions-changelog", number)
        written = list(rightful(records))
        state = next(
            decode(State, one.value, STATE_BYTES)
            for one in reversed(written)
            if one.key == STATE_KEY
        )
        store = MemoryStore()
        store.take(number, records)
        partition = open_partition(RecordedOutbox(), store, number, ledger(recording, config))
        assert partition.positions == {"queries": state.queries, "deferred": state.deferred}
        assert partition.settled == state.settled
        assert partition.sequence == state.sequence
        assert partition.arrivals == state.arrivals
        accounts = partition.ledger.accounts()
        assert {name: accounts[name] for name in state.accounts} == state.accounts
        rows = {one.key: one.value for one in written if is_row(one)}
        for key, value in rows.items():
            assert key is not None
            row = partition.row(key.decode())
            if value is None or key.decode() in state.removed:
                assert row is None
            else:
                assert row is not None
                assert encode(row) == value


def test_every_row_and_state_is_written_as_it_was(recording: Recording) -> None:
    """What this version makes of a record of the changelog has the same values."""
    for record in changelog(recording):
        if record.value is None:
            continue
        kind = State if record.key == STATE_KEY else Row if is_row(record) else None
        if kind is not None:
            value = decode(kind, record.value, STATE_BYTES)
            assert orjson.loads(msgspec.json.encode(value)) == orjson.loads(record.value)


def changelog(recording: Recording) -> list[Record]:
    return recording.of("partitions-changelog")


def is_row(record: Record) -> bool:
    return record.key is not None and record.key[:1] in ROW_PREFIXES


def ledger(recording: Recording, config: Config) -> Ledger:
    """Accounts without shares, for the models configured and added."""
    models = config.catalog()
    added = Registry.of(recording.of("control"), models=models.names).newcomers()
    catalog = models.extended(added)
    found = Ledger(catalog.names, np.zeros(len(catalog), dtype=np.int64))
    found.limit_tenants(frozenset(config.tenant_limits()))
    return found
