"""What must hold of grants: each counts once, in order, and is written down before it is told."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException
from hypothesis import given
from hypothesis import strategies as st

from schemas import ShareGrant
from schemas.wire import encode
from streams.control.grants import Grants
from streams.state.partition import Partition
from streams.state.store import MemoryStore
from tests.support.recorded import (
    SHARES,
    TOPICS,
    RecordedOutbox,
    decide,
    open_partition,
    receipt,
    record,
)


def grant(sequence: int, small: int, partition: int = 0, **windows: int) -> bytes:
    models = {"small": small, "large": 2 * small}
    return encode(
        ShareGrant(partition=partition, sequence=sequence, models=models, windows=windows)
    )


async def take(partition: Partition, outbox: RecordedOutbox, *values: bytes | None) -> None:
    records = [record(i, value, TOPICS.share_grants) for i, value in enumerate(values)]
    await Grants(outbox, TOPICS).take(partition, records)


async def test_a_grant_is_taken_and_written(
    partition: Partition, outbox: RecordedOutbox, store: MemoryStore
) -> None:
    """The shares and the grant's sequence are in the changelog when the chunk is done."""
    await take(partition, outbox, grant(1, 300))
    assert partition.ledger.share.tolist() == [300, 600]
    again = open_partition(outbox, store)
    assert (again.granted, again.ledger.share.tolist()) == (1, [300, 600])


async def test_late_and_repeated_grants_change_nothing(
    partition: Partition, outbox: RecordedOutbox
) -> None:
    """Whether in one chunk or the next; nothing is written for them."""
    await take(partition, outbox, grant(2, 300), grant(2, 999), grant(1, 999))
    outbox.sent.clear()
    await take(partition, outbox, grant(2, 999), grant(1, 999))
    assert (partition.granted, partition.ledger.share.tolist()) == (2, [300, 600])
    assert outbox.sent == []


async def test_a_chunk_of_grants_is_one_commit(
    partition: Partition, outbox: RecordedOutbox
) -> None:
    """The last one holds."""
    await take(partition, outbox, grant(1, 300), grant(2, 400), grant(3, 500))
    assert partition.ledger.share.tolist() == [500, 1000]
    assert [state.granted for state in outbox.states()] == [3]


async def test_another_partition_s_grant_is_not_ours(
    partition: Partition, outbox: RecordedOutbox
) -> None:
    """However it came into this partition of the topic."""
    await take(partition, outbox, grant(1, 300, partition=1))
    assert (partition.granted, partition.ledger.share.tolist()) == (0, list(SHARES))


async def test_a_share_is_not_cut_below_what_is_drawn(
    partition: Partition, outbox: RecordedOutbox
) -> None:
    """What is held stays held; accounts that the grant does not name stay as they are."""
    await decide(partition, receipt(0, "small", 250))
    await take(partition, outbox, encode(ShareGrant(partition=0, sequence=1, models={"small": 10})))
    assert partition.ledger.share.tolist() == [250, SHARES[1]]
    assert partition.ledger.free().tolist() == [0, SHARES[1]]


async def test_a_grant_brings_its_window(partition: Partition, outbox: RecordedOutbox) -> None:
    """Money that came free in a later window is not spent in an earlier one."""
    await take(partition, outbox, grant(1, 300, large=500))
    assert partition.ledger.window.tolist() == [0, 500]
    assert [state.accounts["large"].window for state in outbox.states()] == [500]


async def test_what_is_no_grant_is_rejected_and_the_rest_is_taken(
    partition: Partition, outbox: RecordedOutbox
) -> None:
    """With its bytes and place; that leaves before the state moves."""
    bad = b'{"partition": 0, "sequence": 1, "models": {"small": -1}}'
    await take(partition, outbox, bad, None, grant(1, 300))
    assert partition.ledger.share.tolist() == [300, 600]
    assert [(one.code, one.source.offset, one.original()) for one in outbox.rejected()] == [
        ("invalid_field", 0, bad),
        ("empty", 1, b""),
    ]
    assert outbox.topics() == [TOPICS.rejected, TOPICS.changelog]


async def test_an_unwritten_grant_is_taken_again_after_a_kill(
    partition: Partition, outbox: RecordedOutbox, store: MemoryStore
) -> None:
    """Where the changelog refuses, the next process knows nothing of the grant, and takes it."""
    outbox.refuses = TOPICS.changelog
    with pytest.raises(KafkaException):
        await take(partition, outbox, grant(1, 300))
    outbox.refuses = None
    again = open_partition(outbox, store)
    assert (again.granted, again.ledger.share.tolist()) == (0, list(SHARES))
    await take(again, outbox, grant(1, 300))
    assert (again.granted, again.ledger.share.tolist()) == (1, [300, 600])


@given(st.lists(st.lists(st.integers(1, 9), max_size=4), max_size=6))
async def test_in_any_order_the_newest_grant_holds(chunks: list[list[int]]) -> None:
    """Sequences only rise: of all that came, the highest is in force, and is what is written."""
    outbox, store = RecordedOutbox(), MemoryStore()
    partition = open_partition(outbox, store)
    for chunk in chunks:
        await take(partition, outbox, *(grant(number, 10 * number) for number in chunk))
    newest = max((number for chunk in chunks for number in chunk), default=0)
    loaded = open_partition(outbox, store)
    for one in (partition, loaded):
        assert one.granted == newest
        assert int(one.ledger.share[0]) == (10 * newest or SHARES[0])
    sequences = [state.granted for state in outbox.states()]
    assert sequences == sorted(set(sequences))
