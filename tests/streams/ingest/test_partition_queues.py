"""What must hold of queues: strict order, no chunk skipped, nothing begun is left half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from faust.types import TP

from streams.ingest import partition_queues
from streams.ingest.chunks import Chunk
from streams.ingest.partition_queues import PartitionQueues
from streams.kafka import fatal
from tests.support.patience import PATIENCE


class Died(Exception):
    """In place of the end of the process."""


def event(first: int, after: int | None, partition: int = 0) -> Any:
    """A chunk of ten records, as an event that remembers whether it was acknowledged."""
    chunk = Chunk(SimpleNamespace(offset=first + i, timestamp=0) for i in range(10))
    chunk.after = after
    made = SimpleNamespace(acked=False)
    made.message = SimpleNamespace(tp=TP("queries", partition), value=chunk)
    made.ack = lambda: setattr(made, "acked", True)
    return made


def chain(count: int, partition: int = 0) -> list[Any]:
    return [event(10 * i, 10 * i - 1 if i else None, partition) for i in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


class Work:
    """Prepares and finishes chunks when it is let; notes what was finished."""

    def __init__(self) -> None:
        self.prepared: list[int] = []
        self.finished: list[int] = []
        self.let = asyncio.Event()
        self.let.set()
        self.queues = PartitionQueues("routing", self.prepare, self.finish)

    async def prepare(self, chunks: Sequence[tuple[int, Sequence[Any]]]) -> list[int]:
        first = [int(records[0].offset) for _, records in chunks]
        self.prepared += first
        return first

    async def finish(self, _: int, first: int) -> None:
        await self.let.wait()
        self.finished.append(first)


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    made = Work()
    yield made
    made.let.set()
    await made.queues.close()


@pytest.fixture
def died(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the process would have said at its end; instead of it, the task ends with `Died`."""
    said: list[str] = []

    def die(reason: str) -> NoReturn:
        said.append(reason)
        raise Died(reason)

    monkeypatch.setattr(partition_queues, "die", die)
    monkeypatch.setattr(fatal, "die", die)
    return said


async def test_chunks_are_finished_in_order_and_then_acknowledged(work: Work) -> None:
    """Each once, in the order they came, acknowledged when finished."""
    events = chain(5)
    for each in events:
        await work.queues.put(each)
    await until(lambda: all(each.acked for each in events))
    assert work.finished == [0, 10, 20, 30, 40]


async def test_the_next_chunk_is_prepared_while_one_is_finished(work: Work) -> None:
    """Preparing runs ahead; nothing is acknowledged before it is finished."""
    work.let.clear()
    events = chain(2)
    for each in events:
        await work.queues.put(each)
    await until(lambda: work.prepared == [0, 10])
    assert not any(each.acked for each in events)


async def test_partitions_do_not_wait_for_each_other(work: Work) -> None:
    """A chunk of another partition is finished while one is stuck."""
    stuck = asyncio.Event()
    done: list[int] = []

    async def finish(partition: int, _: Any) -> None:
        if partition == 0:
            await stuck.wait()
        done.append(partition)

    both = PartitionQueues("routing", work.prepare, finish)
    await both.put(event(0, None, partition=0))
    await both.put(event(0, None, partition=1))
    await until(lambda: done == [1])
    stuck.set()
    await both.close()
    assert done == [1, 0]


async def test_close_finishes_what_is_being_decided_and_drops_the_rest(work: Work) -> None:
    """The chunk in the middle of its writes ends whole; those behind it are not acknowledged."""
    work.let.clear()
    events = chain(3)
    for each in events:
        await work.queues.put(each)
    await until(lambda: len(work.prepared) >= 2)
    closing = asyncio.create_task(work.queues.close())
    await asyncio.sleep(0)
    assert not closing.done()
    work.let.set()
    await closing
    assert [each.acked for each in events] == [True, False, False]
    assert work.finished == [0]


async def test_a_close_waits_for_no_chunk_that_is_not_being_finished() -> None:
    """What comes before a chunk is cancelled, and the chunk is not acknowledged."""
    begun, finished = asyncio.Event(), list[int]()

    async def before(_: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def finish(partition: int, _: Any) -> None:
        finished.append(partition)

    queues = PartitionQueues("routing", partition_queues.unprepared, finish, before=before)
    chunk = event(0, None)
    await queues.put(chunk)
    await begun.wait()
    await queues.close()
    assert not finished
    assert not chunk.acked


async def test_close_lets_a_waiting_agent_go(work: Work) -> None:
    """An agent that waits to hand over a chunk is not left waiting for ever."""
    work.let.clear()
    waiting = asyncio.create_task(put_all(work.queues, chain(10)))
    await until(lambda: len(work.prepared) >= 2)
    assert not waiting.done()
    work.let.set()
    await work.queues.close()
    await asyncio.wait_for(waiting, PATIENCE)


async def put_all(to: PartitionQueues[Any], events: list[Any]) -> None:
    for each in events:
        await to.put(each)


async def test_after_close_only_a_seek_begins_a_lane(work: Work) -> None:
    """Chunks that Faust still hands over after `close` follow on dropped ones: to finish them
    would lose those. What comes after the seek is taken, from the beginning."""
    first, second, third = chain(3)
    work.let.clear()
    await work.queues.put(first)
    await until(lambda: work.prepared == [0])
    await work.queues.put(second)
    closing = asyncio.create_task(work.queues.close())
    await asyncio.sleep(0)
    work.let.set()
    await closing
    await work.queues.put(third)
    again = event(10, None)
    await work.queues.put(again)
    await until(lambda: again.acked)
    assert work.finished == [0, 10]
    assert not third.acked


async def test_a_chunk_behind_a_lost_one_is_dropped(work: Work) -> None:
    """It is neither finished nor acknowledged, so it comes again with the lost one."""
    first, _, third = chain(3)
    await work.queues.put(first)
    await work.queues.put(third)
    await until(lambda: first.acked)
    await work.queues.close()
    assert work.finished == [0]
    assert not third.acked


async def test_chunks_that_stay_lost_end_the_process(work: Work, died: list[str]) -> None:
    """Where no seek follows in time, the process says which records it lacks, and ends."""
    first, _, third = chain(3)
    hasty = PartitionQueues("routing", work.prepare, work.finish, patience=0.0)
    await hasty.put(first)
    await hasty.put(third)
    await until(lambda: bool(died))
    await hasty.close()
    assert "routing on partition 0: records before offset 20 were lost" in died[0]


async def test_a_seek_in_time_keeps_the_process(work: Work, died: list[str]) -> None:
    """What was lost comes again, or the partition goes to another process: nobody is overdue."""
    first, _, third = chain(3)
    patient = PartitionQueues("routing", work.prepare, work.finish, patience=0.01)
    for each in (first, third, event(10, None)):
        await patient.put(each)
    other = PartitionQueues("routing", work.prepare, work.finish, patience=0.01)
    for each in (event(0, None), event(20, 19)):
        await other.put(each)
    await other.close()
    overdue = PartitionQueues("routing", work.prepare, work.finish, patience=0.02)
    for each in (event(0, None, partition=1), event(20, 19, partition=1)):
        await overdue.put(each)
    await until(lambda: bool(died))
    assert ["partition 1" in each for each in died] == [True]
    for each in (patient, overdue):
        await each.close()


@pytest.mark.parametrize("step", ["prepare", "finish"])
async def test_a_failure_ends_the_process(
    work: Work, died: list[str], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """What is not a message's fault is never skipped: the last line names step and error."""

    async def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(work, step, fail)
    broken = PartitionQueues("routing", work.prepare, work.finish)
    failed = event(0, None)
    await broken.put(failed)
    await until(lambda: bool(died))
    assert died == ["routing on partition 0 failed: OSError: disk full"]
    assert not failed.acked
    await broken.close()
