"""Deferred queries are retried: pass by pass, oldest first.

A pass covers what was in a partition of `deferred` when it began. It first looks whether any query
would be decided otherwise now, with current prices and budgets; if none would, nothing is written.
Else each query is decided again, and one that is still worth no price goes to the topic's end, so
the order of the waiting queries never changes. The position of the passes is in the partition's
state record, so this reads with a consumer of its own, without a group: a waiting Faust agent would
hold up all the others.

Passes come every few seconds, and when a limit's window ends. Queries that lacked room in it are
older than any that arrive now: the partition decides nothing new before a pass has given them the
room of the new window, in order.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from router.budget.windows import Calendar
from streams.kafka import clients
from streams.kafka.logs import bounds, to_record
from streams.kafka.records import ConsumedRecord
from streams.routing.pipeline import DecisionPipeline
from streams.state.partition import Partition

logger = logging.getLogger(__name__)

REST = 10.0
"""Passes take at most one part in so many of the time, but for those that a window begins with."""
MOMENT = 0.01
"""Seconds by which a timer may be early."""
CHUNK = 500
TIMEOUT = 30.0


class DeferredRetry:
    """Passes over the deferred queries of the partitions that this process owns."""

    def __init__(
        self,
        servers: str,
        security: Mapping[str, Any],
        topic: str,
        pipeline: DecisionPipeline,
        partitions: Callable[[], Sequence[Partition]],
        calendar: Calendar,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Args:
        servers: Of the broker.
        security: librdkafka's settings for it.
        topic: Name of the topic `deferred`.
        pipeline: Decides the log `deferred`.
        partitions: Returns those that this process owns.
        calendar: Knows the budget windows.
        clock: Returns Unix seconds.
        """
        self._topic = topic
        self._pipeline = pipeline
        self._partitions = partitions
        self._calendar = calendar
        self._clock = clock
        self._one_pass = asyncio.Lock()
        self._interrupted = False
        self._room = asyncio.Event()
        connection = {"bootstrap.servers": servers, **security}
        self._consumer = clients.consumer(connection, "deferred-retry")

    async def run(self, every: float) -> None:
        """Pass over every partition each `every` seconds, or less often where passes take long,
        when a window ends, and when a partition has gained room."""
        while True:
            took = 0.0
            for partition in self._partitions():
                began = time.monotonic()
                if await self._pass(partition):
                    took += time.monotonic() - began
            window = self._until_next_window()
            rest = min(REST * took, window)
            self._room.clear()
            await asyncio.sleep(rest)
            with suppress(TimeoutError):
                left = min(every, window) - rest
                await asyncio.wait_for(self._room.wait(), max(left, 0.0))

    def granted(self, partition: Partition) -> None:
        """Pass soon if a partition has been granted room for what waits: others need it, too."""
        if partition.unmet.fits(partition.ledger.free()):
            self._room.set()

    async def waiting_first(self, partition: Partition) -> None:
        """Pass over a partition now if a window has begun that its waiting queries waited for.

        To be awaited before new arrivals are decided: they would take the room.
        """
        if partition.waits_for_new_window(self._calendar.begins(self._clock())):
            await self._pass(partition)
            if self._interrupted:  # nothing more is to be decided here
                async with self._one_pass:
                    pass

    @asynccontextmanager
    async def interrupted(self) -> AsyncIterator[None]:
        """End the pass that goes on, when it has finished its chunk, and begin none meanwhile.

        Passes over a long backlog would hold up whoever is to have the partitions next.
        """
        self._interrupted = True
        try:
            async with self._one_pass:
                yield
        finally:
            self._interrupted = False

    async def close(self) -> None:
        """Close the consumer; `run` has been cancelled."""
        await asyncio.to_thread(self._consumer.close)

    def _until_next_window(self) -> float:
        """Return the seconds until the first window ends, and a moment."""
        now = self._clock()
        ends = self._calendar.ends(now).values()
        return min((max(end - now, 0.0) for end in ends), default=math.inf) + MOMENT

    async def _pass(self, partition: Partition) -> bool:
        async with self._one_pass:  # there is one consumer
            return not self._interrupted and await self._pass_over(partition)

    async def _pass_over(self, partition: Partition) -> bool:
        """Return False where it is put off, as no broker answers: waiting for one is no work."""
        position = partition.positions["deferred"]
        tp = TopicPartition(self._topic, partition.number)
        try:
            low, end = await asyncio.to_thread(bounds, self._consumer, tp, TIMEOUT)
        except KafkaException as error:  # nothing has begun: the next pass asks again
            logger.warning("%s: a pass over it is put off: %s", self._topic, error.args[0].str())
            return False
        partition.record_waiting(end - max(position.decided + 1, low))
        # What was decided but may not have left comes too: its rows say what to publish.
        start = max(position.published + 1, low)
        partition.unmet.begin_pass()
        if start < end:
            try:
                if await self._would_change(partition, start, end):
                    await self._decide(partition, start, end)
            finally:
                self._consumer.unassign()  # else it would go on fetching what waits
        partition.unmet.end_pass()
        return True

    async def _decide(self, partition: Partition, start: int, end: int) -> None:
        """Decide each query of a span once more."""
        async for records in self._read(partition, start, end):
            prepared = await self._pipeline.prepare(partition, records)
            await self._pipeline.finish(partition, prepared)
            if partition.owned:  # else none of them may have been decided
                # Where rows were finished, too.
                partition.mark_published("deferred", records[-1].offset, [])

    async def _would_change(self, partition: Partition, start: int, end: int) -> bool:
        """Return whether a pass would change anything; one that does not is not written down."""
        async for records in self._read(partition, start, end):
            prepared = await self._pipeline.prepare(partition, records)
            if await self._pipeline.would_change(partition, prepared):
                return True
        return False

    async def _read(
        self, partition: Partition, start: int, end: int
    ) -> AsyncIterator[Sequence[ConsumedRecord]]:
        """Yield the records of a span by chunks, while the partition is owned."""
        self._consumer.assign([TopicPartition(self._topic, partition.number, start)])
        idle_since, reached = time.monotonic(), start
        while reached < end and partition.owned and not self._interrupted:
            # More than there is would be waited for.
            most = min(end - reached, CHUNK)
            messages = await asyncio.to_thread(self._consumer.consume, most, 1.0)
            records = [to_record(message) for message in messages if message.error() is None]
            if not records and time.monotonic() - idle_since > TIMEOUT:
                return  # retention took the rest meanwhile
            if records:
                idle_since, reached = time.monotonic(), records[-1].offset + 1
                yield records
