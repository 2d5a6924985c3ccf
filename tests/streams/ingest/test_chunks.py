"""What must hold of chunks: nothing is skipped, and nothing unfinished is ever committed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, patch
from weakref import WeakSet

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st
from mode.utils.locks import Event

from streams.ingest.chunks import Chunk, ChunkScheduler, Consumer, chunked

QUERIES = TP("queries", 0)


def record(offset: int, tp: TP = QUERIES) -> Any:
    return SimpleNamespace(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        timestamp=1000,
        timestamp_type=0,
        headers=[],
        key=b"k",
        value=b"v",
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
    )


def make_consumer(size: int = 3) -> Consumer:
    """A consumer with Faust's own book-keeping, but no app and no broker behind it."""
    consumer = Consumer.__new__(Consumer)
    app: Any = SimpleNamespace(
        consumer_generation_id=1,
        topics=SimpleNamespace(acks_enabled_for=lambda topic: True),
    )
    consumer.app = app
    consumer._thread = SimpleNamespace(assignment=set)  # type: ignore[assignment]
    consumer.scheduler = chunked(size)()
    consumer.flow_active = True
    service: Any = consumer
    service.can_resume_flow, service.suspend_flow = Event(), Event()
    service._stopped, service._crashed, service._loop = Event(), Event(), None
    consumer._active_partitions = {QUERIES}
    consumer._delivered = {}
    consumer._fetched = {}
    consumer._read_offset = {}
    consumer._turn = asyncio.Lock()
    consumer._unacked_messages = WeakSet()
    consumer._acked = defaultdict(list)
    consumer._acked_index = defaultdict(set)
    consumer._committed_offset = defaultdict(lambda: None)
    consumer._gap = defaultdict(list)
    consumer._n_acked = 0
    consumer._waiting_for_ack = None
    return consumer


def hand_out(consumer: Consumer, first: int, last: int, tp: TP = QUERIES) -> Any:
    return consumer._to_message(tp, Chunk(record(i, tp) for i in range(first, last + 1)))


def test_a_chunk_is_one_message_of_many_records() -> None:
    """The value is the list of records, the offset that of the last."""
    message = hand_out(make_consumer(), 5, 7)
    assert [r.offset for r in message.value] == [5, 6, 7]
    assert message.offset == 7


def test_acknowledging_in_order_moves_the_commit() -> None:
    """After each acknowledged chunk the next offset is the one behind it."""
    consumer = make_consumer()
    for first in (0, 3, 6):
        assert consumer.ack(hand_out(consumer, first, first + 2))
        assert consumer._new_offset(QUERIES) == first + 3
    assert consumer._new_offset(QUERIES) is None


def test_acknowledging_out_of_order_holds_the_commit_back() -> None:
    """A later chunk does not count before the earlier one is done."""
    consumer = make_consumer()
    first, second = hand_out(consumer, 0, 2), hand_out(consumer, 3, 5)
    consumer.ack(second)
    assert consumer._new_offset(QUERIES) is None
    assert QUERIES not in set(consumer._filter_tps_with_pending_acks())
    consumer.ack(first)
    assert QUERIES in set(consumer._filter_tps_with_pending_acks())
    assert consumer._new_offset(QUERIES) == 6


def test_a_lost_chunk_is_never_committed() -> None:
    """A chunk that was handed out and dropped keeps everything behind it uncommitted."""
    consumer = make_consumer()
    hand_out(consumer, 0, 2)
    for first in (3, 6, 9):
        consumer.ack(hand_out(consumer, first, first + 2))
    assert consumer._new_offset(QUERIES) is None


def test_a_chunk_counts_once() -> None:
    """A second acknowledgement of the same chunk changes nothing."""
    consumer = make_consumer()
    message = hand_out(consumer, 0, 2)
    assert consumer.ack(message) is True
    assert consumer.ack(message) is False
    assert consumer._n_acked == 1


def test_offsets_may_have_gaps() -> None:
    """Compacted and transactional topics skip offsets; the commit follows what was read."""
    consumer = make_consumer()
    consumer.ack(consumer._to_message(QUERIES, Chunk([record(4), record(9)])))
    assert consumer._new_offset(QUERIES) == 10


async def test_a_seek_forgets_what_was_delivered() -> None:
    """After a seek, an old chunk's acknowledgement moves nothing, and a new one does."""
    consumer = make_consumer()
    old = hand_out(consumer, 0, 2)
    with patch.object(driver.Consumer, "seek", AsyncMock()):
        await consumer.seek(QUERIES, 0)
    consumer.ack(old)
    assert consumer._new_offset(QUERIES) is None
    consumer.ack(hand_out(consumer, 0, 2))
    assert consumer._new_offset(QUERIES) == 3


async def test_seeking_to_the_committed_offsets_forgets_all_partitions() -> None:
    """Chunks that are delivered again are not held back by their first delivery."""
    consumer = make_consumer()
    hand_out(consumer, 0, 2)
    with patch.object(driver.Consumer, "perform_seek", AsyncMock()):
        await consumer.perform_seek()
    consumer.ack(hand_out(consumer, 0, 2))
    assert consumer._new_offset(QUERIES) == 3


async def test_a_revoked_partition_is_forgotten_after_its_last_commit() -> None:
    """What the app finishes while partitions are revoked can still be committed."""
    consumer = make_consumer()
    message = hand_out(consumer, 0, 2)
    committed: list[int | None] = []

    async def finish_and_commit(*_: Any) -> None:
        consumer.ack(message)
        committed.append(consumer._new_offset(QUERIES))

    with patch.object(driver.Consumer, "on_partitions_revoked", finish_and_commit):
        await consumer.on_partitions_revoked({QUERIES})
    assert committed == [3]
    assert QUERIES not in consumer._delivered


async def fetch(consumer: Consumer, records: dict[TP, list[Any]]) -> dict[TP, list[Any]]:
    """What a fetch that brings `records` hands to the scheduler."""
    brought = AsyncMock(return_value=(records, set(records)))
    with patch.object(driver.Consumer, "_wait_next_records", brought):
        cut, _ = await consumer._wait_next_records(1.0)
    return cut or {}


async def cut(consumer: Consumer, *offsets: int) -> list[tuple[int | None, int]]:
    """For each chunk that a fetch of these offsets makes: what it follows on, and its end."""
    chunks = await fetch(consumer, {QUERIES: [record(offset) for offset in offsets]})
    return [(chunk.after, chunk.last) for chunk in chunks[QUERIES]]


@given(st.dictionaries(st.integers(0, 3), st.integers(0, 20)), st.integers(1, 7))
async def test_every_record_comes_once_and_in_order(lengths: dict[int, int], size: int) -> None:
    """Whatever was fetched: per partition nothing is lost, doubled, or out of order."""
    records = {
        TP("queries", partition): [record(i) for i in range(length)]
        for partition, length in lengths.items()
    }
    consumer = make_consumer(size)
    seen: dict[TP, list[Any]] = defaultdict(list)
    for tp, chunk in consumer.scheduler.iterate(await fetch(consumer, records)):
        assert 0 < len(chunk) <= size
        seen[tp].extend(chunk)
    assert {tp: some for tp, some in seen.items() if some} == {
        tp: some for tp, some in records.items() if some
    }


async def test_a_chunk_says_what_it_follows_on() -> None:
    """Each chunk names the last offset fetched before it, gaps in the log or not."""
    consumer = make_consumer(2)
    assert await cut(consumer, 0, 1, 2) == [(None, 1), (1, 2)]
    assert await cut(consumer, 5, 6) == [(2, 6)]


async def test_after_a_seek_a_chunk_follows_on_nothing() -> None:
    """What was fetched before a seek is no predecessor of what comes after it."""
    consumer = make_consumer(2)
    await cut(consumer, 0, 1)
    with patch.object(driver.Consumer, "perform_seek", AsyncMock()):
        await consumer.perform_seek()
    consumer.resume_flow()
    assert await cut(consumer, 0, 1) == [(None, 1)]
    with patch.object(driver.Consumer, "seek", AsyncMock()):
        await consumer.seek(QUERIES, 7)
    assert await cut(consumer, 7) == [(None, 7)]


async def test_what_was_never_committed_comes_again_from_the_beginning() -> None:
    """aiokafka seeks to what is committed only: elsewhere, what was lost would stay lost."""
    consumer = make_consumer()
    consumer._read_offset = {QUERIES: None, TP("queries", 1): 7, TP("queries", 2): 0}
    asked: list[TP] = []

    async def earliest(*tps: TP) -> dict[TP, int]:
        asked.extend(tps)
        return dict.fromkeys(tps, 3)

    with (
        patch.object(driver.Consumer, "perform_seek", AsyncMock()),
        patch.object(consumer, "assignment", lambda: set(consumer._read_offset)),
        patch.object(consumer, "earliest_offsets", earliest),
        patch.object(consumer, "_seek", AsyncMock()) as seek,
    ):
        await consumer.perform_seek()
    assert set(asked) == {QUERIES, TP("queries", 2)}
    assert {call.args for call in seek.await_args_list} == {(tp, 3) for tp in asked}


async def test_a_fetch_waits_for_a_seek() -> None:
    """Faust seeks while it fetches: what is fetched during a seek would follow on what was
    fetched before it, and be missed for ever."""
    consumer = make_consumer(2)
    await cut(consumer, 0, 1)
    seeking, sought = asyncio.Event(), asyncio.Event()

    async def slow(_: Consumer) -> None:
        seeking.set()
        await sought.wait()

    with patch.object(driver.Consumer, "perform_seek", slow):
        seek = asyncio.create_task(consumer.perform_seek())
        await seeking.wait()
        chunks = asyncio.create_task(cut(consumer, 2, 3))
        await asyncio.sleep(0)
        assert not chunks.done()
        sought.set()
        await seek
        consumer.resume_flow()
    assert await chunks == [(None, 3)]


async def test_nothing_is_fetched_between_a_seek_and_the_flow() -> None:
    """Faust seeks, empties its queues and resumes the flow, in this order: what it delivered
    between the first two would be lost."""
    consumer = make_consumer(2)
    with patch.object(driver.Consumer, "perform_seek", AsyncMock()):
        await consumer.perform_seek()
    fetching = AsyncMock(return_value=({}, set()))
    with patch.object(driver.Consumer, "_wait_next_records", fetching):
        next_one = asyncio.create_task(consumer._wait_next_records(1.0))
        for _ in range(10):
            await asyncio.sleep(0)
        fetching.assert_not_awaited()
        consumer.resume_flow()
        await next_one
    fetching.assert_awaited_once()


async def test_where_the_flow_stops_a_fetch_lets_others_seek() -> None:
    """A fetch that came to its turn too late gives it back at once."""
    consumer = make_consumer()
    await consumer._turn.acquire()
    fetching = asyncio.create_task(consumer._wait_next_records(1.0))
    await asyncio.sleep(0)
    consumer.flow_active = False
    consumer._turn.release()
    assert await fetching == (None, None)


def test_a_chunk_holds_at_least_one_record() -> None:
    """A size of nothing would never make progress."""
    with pytest.raises(ValueError, match="at least 1"):
        chunked(0)
    assert ChunkScheduler.size >= 1
