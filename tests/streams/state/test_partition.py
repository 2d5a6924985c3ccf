"""What must hold of a partition's state: what was committed is loaded again, and nothing else,
wherever in its changelog a kill has cut it off."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from confluent_kafka import KafkaException
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from schemas import ShareGrant
from schemas.wire import decode
from streams.state.partition import Partition
from streams.state.rows import STATE_KEY, Position, Row, State, id_row_key, row_key
from streams.state.store import MemoryStore
from tests.support.recorded import (
    FLEET,
    TOPICS,
    RecordedOutbox,
    decide,
    open_partition,
    receipt,
    recovered,
)

Q3 = row_key("queries", 3)


def held(partition: Partition, last: int) -> Counter[str]:
    """Reserved nano-units by model, by the open rows up to an offset of `queries`."""
    found: Counter[str] = Counter()
    for offset in range(last + 1):
        row = partition.row(row_key("queries", offset))
        if row is not None and row.receipt.model is not None:
            found[row.receipt.model] += row.receipt.reserved
    return found


async def test_a_commit_writes_rows_then_the_state_then_what_is_over(
    partition: Partition, outbox: RecordedOutbox, store: MemoryStore
) -> None:
    """In this order a cut anywhere loses at most a chunk that nobody counts; the store follows."""
    await decide(partition, receipt(2))
    outbox.sent.clear()
    await partition.commit({Q3: Row(receipt=receipt(3))}, removed=[row_key("queries", 2)])
    assert [(sent.key, sent.partition) for sent in outbox.sent] == [
        (Q3.encode(), 0),
        (STATE_KEY, 0),
        (row_key("queries", 2).encode(), 0),
    ]
    assert outbox.sent[-1].value is None
    assert store.reached(0) == 2
    assert {key for key, _ in store.scan(0, b"")} == {Q3.encode(), STATE_KEY, id_row_key(0)}


async def test_what_the_changelog_does_not_take_is_not_stored(
    partition: Partition, outbox: RecordedOutbox, store: MemoryStore
) -> None:
    """The caller learns of it, and the rows of this process are still those of the changelog."""
    outbox.refuses = TOPICS.changelog
    with pytest.raises(KafkaException):
        await partition.commit({Q3: Row(receipt=receipt(3))})
    assert dict(store.scan(0, b"")) == {}


async def test_a_partition_is_loaded_as_it_was_committed(
    partition: Partition, outbox: RecordedOutbox, store: MemoryStore
) -> None:
    """Accounts, positions, counts and rows are those of the last commit."""
    partition.record_settlement(4)
    partition.record_arrivals([np.ones((9, 2))] * 2, [None] * 9)
    partition.apply_grant(ShareGrant(partition=0, sequence=2, models={}))
    partition.record_decisions("deferred", {6: Row(receipt=receipt(6, model=None, log="deferred"))})
    partition.mark_published("deferred", 5, [])
    partition.mark_published("queries", 1, [])
    await decide(partition, receipt(2), receipt(3, model="large"))
    again = open_partition(outbox, store)
    assert again.ledger.accounts() == partition.ledger.accounts()
    assert again.ledger.reserved.tolist() == [100, 100]
    assert again.positions == {"queries": Position(3, 1), "deferred": Position(6, 5)}
    assert (again.settled, again.arrivals, again.granted, again.sequence) == (4, 9, 2, 1)
    assert again.row(Q3) == Row(receipt=receipt(3, model="large"))
    assert list(again.deadlines.due(1060.0, 60.0, again.row)) == [row_key("queries", 2), Q3]


async def test_what_a_revoked_partition_has_published_is_written(
    partition: Partition, outbox: RecordedOutbox, store: MemoryStore
) -> None:
    """Once, and nothing where there is nothing to tell; expirations count, too."""
    await partition.revoke()
    assert outbox.sent == []
    partition = open_partition(outbox, store)
    await decide(partition, receipt(2))
    overdue = Row(receipt=receipt(2), expired=True)
    key = row_key("queries", 2)
    partition.record_expirations({key: overdue})
    await partition.commit({key: overdue})
    partition.mark_published("queries", 2, [])
    partition.expirations_published()
    await partition.revoke()
    again = open_partition(outbox, store)
    assert (again.positions["queries"], again.unpublished_expirations) == (Position(2, 2), [])
    count = len(outbox.sent)
    await again.revoke()
    assert len(outbox.sent) == count


async def test_rows_beyond_the_state_do_not_count(
    outbox: RecordedOutbox, partition: Partition
) -> None:
    """Rows of a chunk whose state record a kill cut off: it is decided anew, and owes nothing."""
    await decide(partition, receipt(2))
    await decide(partition, receipt(3))
    cut = [sent.key for sent in outbox.sent].index(Q3.encode()) + 1
    again = open_partition(outbox, recovered(outbox.sent[:cut]))
    assert again.row(Q3) is None
    assert again.positions["queries"].decided == 2
    assert again.ledger.reserved.tolist() == [100, 0]
    assert list(again.deadlines.due(2000.0, 60.0, again.row)) == [row_key("queries", 2)]


async def test_rows_whose_removal_was_cut_off_are_over_and_removed_again(
    outbox: RecordedOutbox, partition: Partition
) -> None:
    """The state record ends them; the next commit repeats the removal, and none after that."""
    await decide(partition, receipt(3))
    await partition.commit({}, removed=[Q3])
    store = recovered(outbox.sent[:-1])
    assert store.read(0, Q3.encode()) is not None
    again = open_partition(outbox, store)
    assert again.row(Q3) is None
    assert list(again.deadlines.due(2000.0, 60.0, again.row)) == []
    await again.commit({})
    assert store.read(0, Q3.encode()) is None
    await again.commit({})
    removals = [sent.key for sent in outbox.sent if sent.value is None]
    assert removals == [Q3.encode(), Q3.encode()]
    assert [state.removed for state in outbox.states()] == [[], [Q3], [Q3], []]


async def test_a_release_that_was_cut_off_is_none(
    outbox: RecordedOutbox, partition: Partition
) -> None:
    """Rows are marked as expired before their state says so: until then a result settles what is
    held, and the next commit takes the marks back before its own state."""
    await decide(partition, receipt(2), receipt(3))
    rows = {Q3: structs.replace(Row(receipt=receipt(3)), expired=True)}
    partition.record_expirations(rows)
    await partition.commit(rows)
    changelog = outbox.of(TOPICS.changelog)
    again = open_partition(RecordedOutbox(), recovered(changelog))
    assert again.row(Q3) == Row(receipt=receipt(3), expired=True, marked=2)
    outbox, store = RecordedOutbox(), recovered(changelog[:-1])
    again = open_partition(outbox, store)
    assert again.ledger.reserved.tolist() == [200, 0]
    assert again.row(Q3) == Row(receipt=receipt(3))
    assert list(again.deadlines.due(2000.0, 60.0, again.row)) == [row_key("queries", 2), Q3]
    await again.commit({})
    assert [sent.key for sent in outbox.sent] == [Q3.encode(), STATE_KEY]
    assert open_partition(outbox, store).row(Q3) == Row(receipt=receipt(3))


async def test_what_has_left_for_good_is_removed_with_the_next_commit(
    partition: Partition, store: MemoryStore
) -> None:
    """Not before; and how far publishing came never falls back."""
    await decide(partition, receipt(2), receipt(3, model=None))
    partition.mark_published("queries", 3, [3])
    partition.mark_published("queries", 1, [])
    assert partition.positions["queries"].published == 3
    assert partition.row(Q3) is not None
    await partition.commit({})
    assert partition.row(Q3) is None
    assert store.read(0, row_key("queries", 2).encode()) is not None


async def test_ids_are_remembered_from_their_commit_on(
    partition: Partition, outbox: RecordedOutbox, store: MemoryStore
) -> None:
    """After a reload, ids of committed chunks are known, those of a lost chunk are not."""
    partition.remember(["a", "b"])
    await partition.commit({})
    partition.remember(["c"])
    assert partition.recent.seen(["a", "b", "c"]) == [True, True, True]
    again = open_partition(outbox, store)
    assert again.recent.seen(["a", "b", "c"]) == [True, True, False]


async def test_ids_written_without_their_state_are_forgotten(
    partition: Partition, outbox: RecordedOutbox
) -> None:
    """Or a chunk that is delivered again would look like a client's second sending."""
    partition.remember(["a"])
    await partition.commit({})
    partition.remember(["b"])
    await partition.commit({})
    assert outbox.sent[-1].key == STATE_KEY
    again = open_partition(outbox, recovered(outbox.sent[:-1]))
    assert again.recent.seen(["a", "b"]) == [True, False]


actions = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=12)


@given(actions=actions, seed=st.integers(0, 99))
@settings(max_examples=60)
async def test_every_prefix_of_the_changelog_is_a_ledger_that_holds(
    actions: list[tuple[int, int]], seed: int
) -> None:
    """Cut anywhere, what is reserved is what the open rows hold, and the last state is loaded.

    Chunks are decided, results settled, published rows ended, in any order.
    """
    outbox = RecordedOutbox()
    partition, last = open_partition(outbox, MemoryStore()), -1
    for kind, number in actions:
        if kind == 0:
            models = [("small", "large", None)[(seed + number + i) % 3] for i in range(number + 1)]
            chunk = [receipt(last + 1 + i, model, 7 + i) for i, model in enumerate(models)]
            last += len(chunk)
            await decide(partition, *chunk)
        elif kind == 1:
            await settle_one(partition, last - number)
        else:
            finished = [offset for offset in [last - number] if is_deferred(partition, offset)]
            partition.mark_published("queries", last, finished)
    changelog = outbox.of(TOPICS.changelog)
    for cut in range(len(changelog) + 1):
        again = open_partition(outbox, recovered(changelog[:cut]))
        by_rows = held(again, last)
        assert again.ledger.reserved.tolist() == [by_rows[name] for name in FLEET.names]
        states = [decode(State, sent.value) for sent in changelog[:cut] if sent.key == STATE_KEY]
        assert again.sequence == (states[-1].sequence if states else 0)


async def settle_one(partition: Partition, offset: int) -> None:
    key = row_key("queries", max(offset, 0))
    row = partition.row(key)
    if row is not None and row.receipt.model is not None:
        partition.ledger.settle(FLEET.index[row.receipt.model], row.receipt.reserved, 1)
        await partition.commit({}, removed=[key])


def is_deferred(partition: Partition, offset: int) -> bool:
    row = partition.row(row_key("queries", max(offset, 0)))
    return offset >= 0 and row is not None and row.receipt.model is None
