"""One queue per partition: chunks are prepared ahead and finished strictly in order.

While one chunk is being finished, the next one is already being prepared, and those that arrive
meanwhile are joined: so chunks are small when there is little to do, and large under load, without
a timer. A chunk is acknowledged when it is finished, never before.

A queue accepts an unbroken chain of chunks. One that was lost before it (in Faust's buffers, while
partitions change hands or the process stops) must not be skipped: deciding a later chunk would mark
the lost one as decided too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from faust.types import TP, EventT

from streams.ingest.chunks import Chunk
from streams.kafka.fatal import die, or_die
from streams.kafka.records import ConsumedRecord

logger = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds in which chunks that follow on nothing must be followed by a seek, or the end."""

Prepared = TypeVar("Prepared")
Prepare = Callable[[int, Sequence[ConsumedRecord]], Awaitable[Prepared]]
"""(partition number, records) -> whatever `Finish` takes."""
Finish = Callable[[int, Prepared], Awaitable[None]]
"""(partition number, prepared chunk): processes it for good."""

Observe = Callable[[str, float], None]
"""(stage, seconds): told how long each chunk took in it."""


async def unprepared(_: int, records: Sequence[ConsumedRecord]) -> Sequence[ConsumedRecord]:
    """Return the records as they are: the `Prepare` of topics that need none."""
    return records


def ignore(_: str, __: float) -> None:
    """Do nothing with the time that a stage took."""


class PartitionQueues(Generic[Prepared]):
    """The queues of one topic, opened with their first chunk and closed when revoked."""

    def __init__(
        self,
        name: str,
        prepare: Prepare[Prepared],
        finish: Finish[Prepared],
        size: int = 1,
        patience: float = PATIENCE,
        observe: Observe = ignore,
    ) -> None:
        """Args:
        name: What the error message of a failure says was being done.
        prepare: Called ahead of time.
        finish: Called in order, one chunk of a partition at a time.
        size: Records up to which chunks that wait are joined; a chunk is never cut.
        patience: See `PATIENCE`.
        observe: Told the stages fetch (from the record's timestamp until the process has it), wait
            (in the inbox), prepare, and turn (until the chunk before is finished).
        """
        self._name = name
        self._size = size
        self._prepare = prepare
        self._finish = finish
        self._queues: dict[TP, _Queue[Prepared]] = {}
        self._patience = patience
        self._observe = observe
        self._overdue: dict[TP, asyncio.TimerHandle] = {}

    async def put(self, event: EventT[Any]) -> None:
        """Hand over a chunk; waits while its queue is full.

        A chunk that does not follow on the last one of its queue is dropped, unacknowledged: it is
        delivered again after the seek that ends a rebalance. Without one the process ends.
        """
        tp = event.message.tp
        chunk: Any = event.message.value  # a `Chunk`
        queue = self._queues.get(tp)
        had = None if queue is None else queue.last
        if chunk.after not in (None, had):
            self._drop(tp, chunk, had)
            return
        if (overdue := self._overdue.pop(tp, None)) is not None:
            overdue.cancel()
        if queue is None:
            what = f"{self._name} on partition {tp.partition}"
            queue = _Queue(
                what, tp.partition, self._prepare, self._finish, self._size, self._observe
            )
            self._queues[tp] = queue
        queue.last = chunk.last
        await queue.inbox.put(event)

    def _drop(self, tp: TP, chunk: Chunk, had: int | None) -> None:
        what = f"{self._name} on partition {tp.partition}"
        lost = f"records before offset {chunk[0].offset} were lost on the way, after {had}"
        logger.info("%s: dropped a chunk, as %s", what, lost)
        if tp not in self._overdue:
            reason = f"{what}: {lost}, and do not come again"
            loop = asyncio.get_running_loop()
            self._overdue[tp] = loop.call_later(self._patience, die, reason)

    async def close(self) -> None:
        """Finish the chunks being decided, drop the others (they come again), end all queues."""
        for overdue in self._overdue.values():
            overdue.cancel()
        self._overdue.clear()
        queues, self._queues = list(self._queues.values()), {}
        await asyncio.gather(*(queue.close() for queue in queues))


class _Inbox:
    """Chunks that wait to be prepared: about `size` records, taken as many together as fit."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[EventT[Any]] = deque()
        self._records = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, event: EventT[Any]) -> None:
        """Add a chunk; waits while there is no room."""
        while self._records >= self._size:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(event)
        self._records += len(_chunk(event))
        self._filled.set()

    async def take(self) -> list[EventT[Any]]:
        """Take the oldest chunk, and those after it that fit beside it; waits for the first."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        taken = [self._waiting.popleft()]
        count = len(_chunk(taken[0]))
        while self._waiting and count + len(_chunk(self._waiting[0])) <= self._size:
            taken.append(self._waiting.popleft())
            count += len(_chunk(taken[-1]))
        self._records -= count
        self._room.set()
        return taken

    def clear(self) -> None:
        """Drop what waits, and let go of whoever waits to put."""
        self._waiting.clear()
        self._records = 0
        self._room.set()


def _chunk(event: EventT[Any]) -> Chunk:
    chunk: Any = event.message.value  # Faust says bytes
    return chunk  # type: ignore[no-any-return]


class _Queue(Generic[Prepared]):
    def __init__(
        self,
        what: str,
        partition: int,
        prepare: Prepare[Prepared],
        finish: Finish[Prepared],
        size: int,
        observe: Observe,
    ) -> None:
        self.last: int | None = None
        self._observe = observe
        self.inbox = _Inbox(size)
        self._ready: asyncio.Queue[tuple[list[EventT[Any]], Prepared, float]] = asyncio.Queue(1)
        self._busy = asyncio.Lock()
        self._tasks = [
            asyncio.create_task(or_die(what, self._preparing(partition, prepare))),
            asyncio.create_task(or_die(what, self._finishing(partition, finish))),
        ]

    async def _preparing(self, partition: int, prepare: Prepare[Prepared]) -> None:
        while True:
            events = await self.inbox.take()
            began, first = time.time(), _chunk(events[0])
            self._observe("fetch", first.fetched - first[0].timestamp / 1000)
            self._observe("wait", began - first.fetched)
            records = [record for event in events for record in _chunk(event)]
            prepared = await prepare(partition, records)
            self._observe("prepare", time.time() - began)
            await self._ready.put((events, prepared, time.time()))

    async def _finishing(self, partition: int, finish: Finish[Prepared]) -> None:
        while True:
            events, prepared, since = await self._ready.get()
            async with self._busy:
                self._observe("turn", time.time() - since)
                await finish(partition, prepared)
                for event in events:
                    event.ack()

    async def close(self) -> None:
        self._tasks[0].cancel()
        async with self._busy:
            self._tasks[1].cancel()
        self.inbox.clear()  # lets go of an agent that waits to put
        await asyncio.gather(*self._tasks, return_exceptions=True)
