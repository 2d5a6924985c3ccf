"""One queue per partition: chunks are prepared ahead and finished strictly in order.

What waits in several partitions is prepared in one call, as the fixed cost of that is most of a
small chunk's. Where nothing else is under way that is done at once. Else what arrives is gathered
until that is finished, and joined: so chunks are small when there is little to do, and large under
load. Gathering ends when enough waits, and after a moment in any case: a partition that is stuck
holds up no other. Then chunks are prepared while those before them are being finished.
A chunk is acknowledged when it is finished, never before.

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

ENOUGH = 128
"""Records of a batch whose fixed cost hardly counts: gathering more would gain nothing."""
PREPARERS = 2
"""Calls of `Prepare` that may be under way at once, for different partitions."""

Prepared = TypeVar("Prepared")
Prepare = Callable[[Sequence[tuple[int, Sequence[ConsumedRecord]]]], Awaitable[Sequence[Prepared]]]
"""(partition number, records) of each chunk -> of each whatever `Finish` takes."""
Finish = Callable[[int, Prepared], Awaitable[None]]
"""(partition number, prepared chunk): processes it for good."""
Step = Callable[[int], Awaitable[object]]
"""(partition number): what must come before a partition's first chunk, or before each."""

Observe = Callable[[str, float], None]
"""(stage, seconds): told how long each chunk took in it."""


async def unprepared(
    chunks: Sequence[tuple[int, Sequence[ConsumedRecord]]],
) -> Sequence[Sequence[ConsumedRecord]]:
    """Return the records as they are: the `Prepare` of topics that need none."""
    return [records for _, records in chunks]


async def nothing(_: int) -> None:
    """Do nothing: the `Step` of topics that need none."""


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
        open_first: Step = nothing,
        before: Step = nothing,
        gather: float = 0.0,
    ) -> None:
        """Args:
        name: What the error message of a failure says was being done.
        prepare: Called ahead of time.
        finish: Called in order, one chunk of a partition at a time.
        size: Records up to which chunks that wait are joined, and prepared in one call; a chunk is
            never cut.
        patience: See `PATIENCE`.
        observe: Told the stages fetch (from the record's timestamp until the process has it), wait
            (in the inbox), prepare, and turn (until the chunk before is finished).
        open_first: Awaited with each partition's first chunk, which no other partition waits for.
        before: Awaited before each chunk is finished; `close` cancels it, and does not wait for it.
        gather: Seconds for which chunks wait at most for those under way.
        """
        self._name = name
        self._size = size
        self._prepare = prepare
        self._finish = finish
        self._steps = open_first, before
        self._gather = gather
        self._queues: dict[TP, _Queue[Prepared]] = {}
        self._patience = patience
        self._observe = observe
        self._overdue: dict[TP, asyncio.TimerHandle] = {}
        self._preparing: set[asyncio.Task[None]] = set()
        self._look = _Look(self._prepare_what_is_due)

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
            queue = self._opened(tp)
        queue.last = chunk.last
        await queue.inbox.put(event)

    def _opened(self, tp: TP) -> _Queue[Prepared]:
        """Make the queue of a partition."""
        what = f"{self._name} on partition {tp.partition}"
        queue = _Queue(what, tp.partition, self._steps, self._finish, self._size, self._look.soon)
        queue.observe = self._observe
        self._queues[tp] = queue
        return queue

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
        self._look.cancel()
        preparing = list(self._preparing)
        for task in preparing:
            task.cancel()
        queues, self._queues = list(self._queues.values()), {}
        await asyncio.gather(*(queue.close() for queue in queues))
        await asyncio.gather(*preparing, return_exceptions=True)

    def _prepare_what_is_due(self) -> None:
        while len(self._preparing) < PREPARERS and self._is_due() and (taken := self._take()):
            task = asyncio.create_task(self._prepare_or_die(taken))
            self._preparing.add(task)
            task.add_done_callback(self._has_prepared)

    def _has_prepared(self, task: asyncio.Task[None]) -> None:
        self._preparing.discard(task)
        self._look.soon()

    def _is_due(self) -> bool:
        """Whether what waits is prepared now, and not gathered any longer."""
        queues = self._queues.values()
        if self._gather <= 0 or not any(queue.is_busy for queue in queues):
            return True
        since = [queue.inbox.since for queue in queues if queue.inbox.since is not None]
        if not since or sum(queue.inbox.records for queue in queues) >= ENOUGH:
            return True
        left = min(since) + self._gather - time.monotonic()
        if left > 0:
            self._look.after(left)
        return left <= 0

    def _take(self) -> list[tuple[_Queue[Prepared], list[EventT[Any]]]]:
        """Take what waits in the partitions that may go on, up to `size` records."""
        taken: list[tuple[_Queue[Prepared], list[EventT[Any]]]] = []
        room = self._size
        for tp, queue in list(self._queues.items()):
            events = queue.inbox.take(room, whole=not taken) if queue.may_prepare else []
            if events:
                queue.preparing = True
                taken.append((queue, events))
                room -= sum(len(_chunk(event)) for event in events)
                self._queues[tp] = self._queues.pop(tp)  # the others come first the next time
        return taken

    async def _prepare_or_die(
        self, taken: Sequence[tuple[_Queue[Prepared], list[EventT[Any]]]]
    ) -> None:
        numbers = ", ".join(str(queue.partition) for queue, _ in taken)
        where = "partition" if len(taken) == 1 else "partitions"
        await or_die(f"{self._name} on {where} {numbers}", self._prepare_all(taken))

    async def _prepare_all(
        self, taken: Sequence[tuple[_Queue[Prepared], list[EventT[Any]]]]
    ) -> None:
        began = time.time()
        for _, events in taken:
            first = _chunk(events[0])
            self._observe("fetch", first.fetched - first[0].timestamp / 1000)
            self._observe("wait", began - first.fetched)
        chunks = [(queue.partition, _records(events)) for queue, events in taken]
        prepared = await self._prepare(chunks)
        ended = time.time()
        for (queue, events), each in zip(taken, prepared, strict=True):
            self._observe("prepare", ended - began)
            queue.prepared(events, each, ended)


class _Look:
    """Calls a function once for any number of reasons: when all of this turn of the event loop are
    there, or after a while."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._soon: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._call)

    def after(self, seconds: float) -> None:
        """Call it then, if it has not been called before."""
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(seconds, self._call)

    def cancel(self) -> None:
        for handle in (self._soon, self._later):
            if handle is not None:
                handle.cancel()
        self._soon = self._later = None

    def _call(self) -> None:
        self.cancel()
        self._function()


class _Inbox:
    """Chunks that wait to be prepared: about `size` records, taken as many together as fit."""

    def __init__(self, size: int, filled: Callable[[], None]) -> None:
        """filled: called when a chunk has come."""
        self._size = size
        self._waiting: deque[EventT[Any]] = deque()
        self.records = 0
        self.since: float | None = None
        """Monotonic time since when one waits; None where none does."""
        self._filled = filled
        self._room = asyncio.Event()

    async def put(self, event: EventT[Any]) -> None:
        """Add a chunk; waits while there is no room."""
        while self.records >= self._size:
            self._room.clear()
            await self._room.wait()
        if self.since is None:
            self.since = time.monotonic()
        self._waiting.append(event)
        self.records += len(_chunk(event))
        self._filled()

    def take(self, most: int, whole: bool) -> list[EventT[Any]]:
        """Take the oldest chunks, up to so many records.

        Args:
            most: Records.
            whole: Whether the oldest is taken even where it has more.
        """
        taken: list[EventT[Any]] = []
        count = 0
        while self._waiting:
            records = len(_chunk(self._waiting[0]))
            if count + records > most and (taken or not whole):
                break
            taken.append(self._waiting.popleft())
            count += records
        self.records -= count
        if taken:
            self.since = time.monotonic() if self._waiting else None
        self._room.set()
        return taken

    def clear(self) -> None:
        """Drop what waits, and let go of whoever waits to put."""
        self._waiting.clear()
        self.records, self.since = 0, None
        self._room.set()


def _chunk(event: EventT[Any]) -> Chunk:
    chunk: Any = event.message.value  # Faust says bytes
    return chunk  # type: ignore[no-any-return]


def _records(events: Sequence[EventT[Any]]) -> list[ConsumedRecord]:
    """Return the records of chunks, each once: after a seek those that wait here come again, and
    a query that stood twice in one chunk would be its own duplicate."""
    found = {record.offset: record for event in events for record in _chunk(event)}
    return [found[offset] for offset in sorted(found)]


class _Queue(Generic[Prepared]):
    """The chunks of one partition."""

    def __init__(
        self,
        what: str,
        partition: int,
        steps: tuple[Step, Step],
        finish: Finish[Prepared],
        size: int,
        wake: Callable[[], None],
    ) -> None:
        """Args:
        steps: `open_first` and `before`.
        wake: Called when there may be something to prepare.
        """
        self.last: int | None = None
        self.partition = partition
        self.preparing = False
        self.observe: Observe = ignore
        self.inbox = _Inbox(size, wake)
        self._wake = wake
        self._is_open = False
        self._ready: asyncio.Queue[tuple[list[EventT[Any]], Prepared, float]] = asyncio.Queue(1)
        self._in_hand = False
        self._finishes = asyncio.Lock()
        self._task = asyncio.create_task(or_die(what, self._finishing(*steps, finish)))

    @property
    def may_prepare(self) -> bool:
        """Whether the next chunk may be prepared: one is prepared ahead, no more."""
        return self._is_open and not self.preparing and self._ready.empty()

    @property
    def is_busy(self) -> bool:
        """Whether a chunk is being prepared or finished."""
        return self.preparing or not self._ready.empty() or self._in_hand

    def prepared(self, events: list[EventT[Any]], prepared: Prepared, at: float) -> None:
        """Take a prepared chunk, of these events, to be finished next. at: Unix seconds."""
        self.preparing = False
        self._ready.put_nowait((events, prepared, at))

    async def _finishing(self, open_first: Step, before: Step, finish: Finish[Prepared]) -> None:
        await open_first(self.partition)
        self._is_open = True
        self._wake()
        while True:
            events, prepared, since = await self._ready.get()
            self._in_hand = True
            self._wake()
            await before(self.partition)
            async with self._finishes:
                self.observe("turn", time.time() - since)
                await finish(self.partition, prepared)
                for event in events:
                    event.ack()
            self._in_hand = False
            self._wake()  # what has been gathered meanwhile

    async def close(self) -> None:
        async with self._finishes:
            self._task.cancel()
        self.inbox.clear()  # lets go of an agent that waits to put
        await asyncio.gather(self._task, return_exceptions=True)
