"""Receipts are put in the order of the records that they decide."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from schemas import Receipt
from schemas.wire import encode
from streams.kafka.logs import Record
from streams.kafka.topics import Log, Topics
from streams.verify.receipt_store import ReceiptStore
from tests.support.recorded import receipt

TOPICS = Topics()


@pytest.fixture
def store() -> Iterator[ReceiptStore]:
    with ReceiptStore(TOPICS) as store:
        yield store


def record(value: bytes | Receipt, offset: int = 0) -> Record:
    data = value if isinstance(value, bytes) else encode(value)
    return Record(TOPICS.receipts, 0, offset, 0, b"key", data, ())


def test_each_log_has_its_receipts_in_order(store: ReceiptStore) -> None:
    """However they lie in the topic."""
    given = [receipt(5), receipt(1), receipt(0, log="deferred"), receipt(3)]
    store.fill(map(record, given))
    assert [one.source.offset for one in store.of_log(0, "queries")] == [1, 3, 5]
    assert [one.source.offset for one in store.of_log(0, "deferred")] == [0]
    assert (store.last(0, "queries"), store.last(0, "deferred"), store.last(1, "queries")) == (
        5,
        0,
        -1,
    )


def test_a_partition_has_its_decisions_in_order_of_results_then_time(store: ReceiptStore) -> None:
    """Each log keeps its own order; between the two, results that were folded come first."""

    def at(offset: int, log: Log, results: int, time: float) -> Receipt:
        made = receipt(offset, log=log, at=time)
        return msgspec.structs.replace(made, results_offset=results)

    given = [
        at(0, "queries", 1, 30.0),
        at(1, "queries", 5, 10.0),
        at(0, "deferred", 1, 40.0),
        at(1, "deferred", 5, 9.0),
    ]
    store.fill(map(record, given))
    assert [one.decision_id for one, _ in store.of_partition(0)] == [
        "queries/0/0",
        "deferred/0/0",
        "deferred/0/1",
        "queries/0/1",
    ]


def test_a_receipt_is_found_by_record_and_by_decision(store: ReceiptStore) -> None:
    """An id that names no record has none."""
    store.fill([record(receipt(7))])
    assert store.get(0, "queries", 7) == receipt(7)
    assert store.of_decision("queries/0/7") == receipt(7)
    for unknown in ("queries/0/8", "results/0/7", "queries/0", "queries/x/7", ""):
        assert store.of_decision(unknown) is None


def test_the_same_again_is_fine_and_another_is_refused(store: ReceiptStore) -> None:
    """After a crash receipts leave again; they must be the same."""
    store.fill([record(receipt(7)), record(receipt(7), 1), record(receipt(7, "large"), 2)])
    assert store.get(0, "queries", 7) == receipt(7)
    words = f"another receipt for the same record lies at {TOPICS.receipts}/0/2"
    assert store.refused == [(0, "queries/0/7", words)]


def test_what_is_no_receipt_is_refused(store: ReceiptStore) -> None:
    """Bytes that are none, and receipts of topics whose records nobody decides."""
    stray = msgspec.structs.replace(
        receipt(7), source=msgspec.structs.replace(receipt(7).source, topic="other")
    )
    store.fill([record(b"{}", 4), record(stray)])
    (at, place, words), (partition, decision, more) = store.refused
    assert (at, place, words.split(":")[0]) == (-1, f"{TOPICS.receipts}/0/4", "is no receipt")
    assert (partition, decision) == (0, "queries/0/7")
    assert more == "names a record of 'other', whose records nobody decides"
