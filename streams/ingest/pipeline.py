"""One lane a topic partition: chunks are prepared ahead and finished strictly in order.

While one chunk is being decided, written ahead and published, the next one is already being
embedded and estimated. A chunk is acknowledged when it is finished, never before.

A lane takes an unbroken chain of chunks. One that was lost before it (in Faust's buffers, while
partitions change hands or the process stops) may not be passed over: to decide a later chunk
would mark the lost one as decided too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from faust.types import TP, EventT

from streams.ingest.chunks import Chunk
from streams.kafka.fatal import die, or_die

logger = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds in which chunks that follow on nothing must be followed by a seek, or the end."""

Prepare = Callable[[int, list[Any]], Awaitable[Any]]
"""(partition number, records) -> whatever `Finish` takes."""
Finish = Callable[[int, Any], Awaitable[None]]
"""(partition number, prepared chunk): decides, writes ahead and publishes it."""


class PartitionPipeline:
    """The lanes of one topic, opened with their first chunk and closed when revoked."""

    def __init__(
        self, name: str, prepare: Prepare, finish: Finish, patience: float = PATIENCE
    ) -> None:
        """`name` tells in an error message what failed."""
        self._name = name
        self._prepare = prepare
        self._finish = finish
        self._lanes: dict[TP, _Lane] = {}
        self._patience = patience
        self._overdue: dict[TP, asyncio.TimerHandle] = {}

    async def put(self, event: EventT[Any]) -> None:
        """Hand over a chunk; waits while its lane has enough to do.

        A chunk that does not follow on what its lane has had is dropped, unacknowledged: it comes
        again after the seek that a change of partitions ends with. Without one the process ends.
        """
        tp = event.message.tp
        chunk: Any = event.message.value
        lane = self._lanes.get(tp)
        had = None if lane is None else lane.last
        if chunk.after not in (None, had):
            self._drop(tp, chunk, had)
            return
        if (overdue := self._overdue.pop(tp, None)) is not None:
            overdue.cancel()
        if lane is None:
            lane = self._lanes[tp] = _Lane(self._name, tp.partition, self._prepare, self._finish)
        lane.last = chunk.last
        await lane.inbox.put(event)

    def _drop(self, tp: TP, chunk: Chunk, had: int | None) -> None:
        what = f"{self._name} on partition {tp.partition}"
        lost = f"records before offset {chunk[0].offset} were lost on the way, after {had}"
        logger.info("%s: dropped a chunk, as %s", what, lost)
        if tp not in self._overdue:
            reason = f"{what}: {lost}, and do not come again"
            loop = asyncio.get_running_loop()
            self._overdue[tp] = loop.call_later(self._patience, die, reason)

    async def close(self) -> None:
        """Finish the chunks being decided, drop the others (they come again), end all lanes."""
        for overdue in self._overdue.values():
            overdue.cancel()
        self._overdue.clear()
        lanes, self._lanes = list(self._lanes.values()), {}
        await asyncio.gather(*(lane.close() for lane in lanes))


class _Lane:
    def __init__(self, name: str, partition: int, prepare: Prepare, finish: Finish) -> None:
        self.last: int | None = None
        self.inbox: asyncio.Queue[EventT[Any]] = asyncio.Queue(maxsize=2)
        self._ready: asyncio.Queue[tuple[EventT[Any], Any]] = asyncio.Queue(maxsize=1)
        self._busy = asyncio.Lock()
        what = f"{name} on partition {partition}"
        self._tasks = [
            asyncio.create_task(or_die(what, self._preparing(partition, prepare))),
            asyncio.create_task(or_die(what, self._finishing(partition, finish))),
        ]

    async def _preparing(self, partition: int, prepare: Prepare) -> None:
        while True:
            event = await self.inbox.get()
            records: Any = event.message.value  # a list, see `streams.ingest.chunks`
            await self._ready.put((event, await prepare(partition, records)))

    async def _finishing(self, partition: int, finish: Finish) -> None:
        while True:
            event, prepared = await self._ready.get()
            async with self._busy:
                await finish(partition, prepared)
                event.ack()

    async def close(self) -> None:
        self._tasks[0].cancel()
        async with self._busy:
            self._tasks[1].cancel()
        while not self.inbox.empty():  # lets go of an agent that waits to put
            self.inbox.get_nowait()
        await asyncio.gather(*self._tasks, return_exceptions=True)
