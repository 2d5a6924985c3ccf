"""What waits is joined, and gathered over partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from streams.ingest import partition_queues
from streams.ingest.partition_queues import PartitionQueues
from tests.streams.ingest.test_partition_queues import chain, event, put_all, until
from tests.support.patience import PATIENCE


async def test_chunks_that_wait_are_joined_up_to_the_size() -> None:
    """Under load several chunks are decided as one, never more than `size` records at a time."""
    seen: list[list[int]] = []
    gate = asyncio.Event()

    async def prepare(chunks: Sequence[tuple[int, Sequence[Any]]]) -> Sequence[Any]:
        await gate.wait()
        return [records for _, records in chunks]

    async def finish(_: int, records: Sequence[Any]) -> None:
        seen.append([record.offset for record in records])

    queues = PartitionQueues("routing", prepare, finish, size=25)
    events = chain(8)
    putting = asyncio.create_task(put_all(queues, events))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not putting.done(), "what waits is bounded"
    gate.set()
    await until(lambda: all(one.acked for one in events))
    await queues.close()
    assert [offset for chunk in seen for offset in chunk] == list(range(80))
    assert max(len(chunk) for chunk in seen) == 20, "two chunks of ten fit into 25 records"


async def test_a_chunk_larger_than_the_size_passes_alone() -> None:
    """A chunk is never cut, so that it can be acknowledged whole."""
    seen: list[int] = []

    async def finish(_: int, records: Sequence[Any]) -> None:
        seen.append(len(records))

    queues = PartitionQueues("routing", partition_queues.unprepared, finish, size=5)
    events = chain(3)
    await put_all(queues, events)
    await until(lambda: all(one.acked for one in events))
    await queues.close()
    assert seen == [10, 10, 10]


class Gathering:
    """Queues of several partitions, each call of `prepare` by the partitions that it was for."""

    def __init__(self, gather: float) -> None:
        self.calls: list[list[tuple[int, int]]] = []
        self.let = asyncio.Event()
        self.opened: dict[int, asyncio.Event] = {}
        self.queues = PartitionQueues(
            "routing", self.prepare, self.finish, 200, open_first=self.open, gather=gather
        )

    async def open(self, partition: int) -> None:
        await self.opened.setdefault(partition, asyncio.Event()).wait()

    def may_open(self, *partitions: int) -> None:
        for partition in partitions:
            self.opened.setdefault(partition, asyncio.Event()).set()

    async def prepare(self, chunks: Sequence[tuple[int, Sequence[Any]]]) -> Sequence[Any]:
        self.calls.append([(partition, len(records)) for partition, records in chunks])
        return [records for _, records in chunks]

    async def finish(self, _: int, records: Any) -> None:
        await self.let.wait()


LONG = 10 * PATIENCE
"""Seconds of gathering that no test sees the end of."""


async def test_what_comes_meanwhile_is_prepared_in_one_call() -> None:
    """Of all partitions, when what is under way is finished; the first waits for nothing."""
    made = Gathering(LONG)
    made.may_open(0, 1, 2)
    first, *others = [*chain(3, partition=0), *chain(2, partition=1), *chain(1, partition=2)]
    await made.queues.put(first)
    await until(lambda: made.calls == [[(0, 10)]])
    await put_all(made.queues, others)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(made.calls) == 1
    made.let.set()
    await until(lambda: all(each.acked for each in [first, *others]))
    assert sorted(made.calls[1]) == [(0, 20), (1, 20), (2, 10)]
    assert len(made.calls) == 2
    await made.queues.close()


async def test_gathering_ends_when_enough_waits() -> None:
    """However long a chunk takes, large batches do not wait for it."""
    made = Gathering(LONG)
    made.may_open(0, 1)
    await made.queues.put(event(0, None))
    await until(lambda: len(made.calls) == 1)
    enough = chain(-(-partition_queues.ENOUGH // 10), partition=1)
    await put_all(made.queues, enough)
    await until(lambda: made.calls[1:] == [[(1, 10 * len(enough))]])
    made.let.set()
    await until(lambda: all(each.acked for each in enough))
    await made.queues.close()


async def test_gathering_ends_in_time() -> None:
    """A partition that is stuck holds up the others for so long, and no longer."""
    made = Gathering(0.001)
    made.may_open(0, 1)
    await made.queues.put(event(0, None))
    await until(lambda: len(made.calls) == 1)
    await made.queues.put(event(0, None, partition=1))
    await until(lambda: made.calls[1:] == [[(1, 10)]])
    made.let.set()
    await made.queues.close()


async def test_a_partition_that_is_opened_holds_up_no_other() -> None:
    """Claiming one may take seconds; its own chunks wait for that."""
    made = Gathering(LONG)
    made.may_open(1)
    made.let.set()
    mine, theirs = event(0, None, partition=1), event(0, None, partition=0)
    for each in (theirs, mine):
        await made.queues.put(each)
    await until(lambda: mine.acked)
    assert not theirs.acked
    made.may_open(0)
    await until(lambda: theirs.acked)
    await made.queues.close()


async def test_what_comes_again_after_a_seek_stands_once_in_a_chunk() -> None:
    """A seek redelivers what still waits for its partition to be opened."""
    opened, found = asyncio.Event(), list[list[int]]()

    async def open_first(_: int) -> None:
        await opened.wait()

    async def prepare(chunks: Sequence[tuple[int, Sequence[Any]]]) -> list[None]:
        found.extend([record.offset for record in records] for _, records in chunks)
        return [None] * len(chunks)

    async def finish(_: int, prepared: None) -> None:
        pass

    queues = PartitionQueues("routing", prepare, finish, 100, open_first=open_first)
    events = [event(10, None), event(20, 19), event(0, None), event(10, 9), event(20, 19)]
    for each in events:
        await queues.put(each)
    opened.set()
    await until(lambda: all(each.acked for each in events))
    await queues.close()
    assert found == [list(range(30))]
