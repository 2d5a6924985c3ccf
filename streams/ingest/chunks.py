"""Feeds Faust by chunks: up to N records of one partition arrive as one message.

Faust spends its time per message (a few thousand a second); a chunk costs as much as a message
did. The `ConsumerScheduler` setting says how large chunks are, and a transport's consumer cuts what
it fetched, makes one message of each chunk, and keeps its own acknowledgements. A chunk's message
carries the list as its value and the offset of the last record; acknowledging it acknowledges all
of them.

Why acknowledgements of our own: Faust's count one offset per message, so the records inside a
chunk look like gaps to it, and a commit would advance one chunk per interval. Most of what is
overridden is private: `docs/decisions/0001-chunks.md` lists it, and
`tests/streams/ingest/test_contracts.py` checks it against the installed version.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message, ack_lock
from mode.services import WaitResults

from streams.ingest.begun import Begun
from streams.ingest.fetch import LoopConsumer
from streams.kafka.records import ConsumedRecord

TURN = 0.2
"""Seconds that a fetch waits for records at most, and so a seek for its turn."""


class Chunk(list[ConsumedRecord]):
    """Consecutive records of one partition.

    Attributes:
        after: offset of the record fetched before the first one; None for the first fetch after
            a seek. Lets consumers of chunks detect one that was lost between two others.
        fetched: Unix seconds at which the broker's answer was read.
    """

    after: int | None = None
    fetched: float = 0.0

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return self[-1].offset


class ChunkScheduler(DefaultSchedulingStrategy):
    """Says how large chunks are, and yields them, partitions in turn, as Faust yields records."""

    size: ClassVar[int] = 500


def chunked(size: int) -> type[ChunkScheduler]:
    """Make the scheduler class for Faust's `ConsumerScheduler` setting.

    Args:
        size: records per chunk at most.

    Raises:
        ValueError: the size is below 1.
    """
    if size < 1:
        raise ValueError(f"a chunk holds at least 1 record, not {size}")
    return type("Chunks", (ChunkScheduler,), {"size": size})


class Consumer(driver.Consumer):
    """Faust's aiokafka consumer, extended by chunks.

    For each partition it keeps the chunks it has delivered, oldest first, and commits up to
    the first that is not acknowledged. So a chunk that was delivered and lost in Faust's buffers
    holds the commit back, and is redelivered after a restart.

    Fetching and seeking take turns: Faust seeks while it fetches, and a chunk that was fetched
    before a seek must never look like one that was fetched after it.
    """

    scheduler: ChunkScheduler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delivered: dict[TP, deque[Message]] = {}
        self._fetched: dict[TP, int] = {}
        self._turn = asyncio.Lock()

    def _new_consumer_thread(self) -> LoopConsumer:
        return LoopConsumer(self, loop=self.loop, beacon=self.beacon)

    async def wait_first(self, *coros: Any, timeout: Any = None) -> Any:
        """Wait for the first of several, as Faust does for the delivery of a message or the flow's
        end, with four tasks for each message. A delivery hardly ever has to wait, and is done here
        without any."""
        first, *others = coros
        if not others or not asyncio.iscoroutine(first) or not self.flow_active or self.should_stop:
            return await super().wait_first(*coros, timeout=timeout)
        begun = Begun(first)
        if not begun.done:
            return await super().wait_first(begun.rest(), *others, timeout=timeout)
        for other in others:
            other.close()
        return WaitResults([first], [None], False)

    async def _wait_next_records(
        self, timeout: float
    ) -> tuple[dict[TP, list[Chunk]] | None, set[TP] | None]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # as in Faust
        if not self._get_active_partitions():
            await self.sleep(TURN)
            return None, None
        async with self._turn:
            if not self.flow_active:  # Faust would wait here, and block a seek
                return None, None
            records, active = await super()._wait_next_records(min(timeout, TURN))
            return {tp: list(self._cut(tp, some)) for tp, some in (records or {}).items()}, active

    def _cut(self, tp: TP, records: list[ConsumedRecord]) -> Iterator[Chunk]:
        size, now = self.scheduler.size, time.time()
        for start in range(0, len(records), size):
            chunk = Chunk(records[start : start + size])
            chunk.after, chunk.fetched = self._fetched.get(tp), now
            self._fetched[tp] = chunk.last
            yield chunk

    def _to_message(self, tp: TP, record: Chunk) -> ConsumerMessage:
        last = record[-1]
        message = ConsumerMessage(
            last.topic,
            last.partition,
            last.offset,
            last.timestamp / 1000,
            0,  # the timestamp's type, which nobody asks for
            None,
            None,
            record,  # type: ignore[arg-type]  # Faust says bytes; its agents take any
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        self._delivered.setdefault(tp, deque()).append(message)
        return message

    def ack(self, message: Message) -> bool:
        """Mark all records of a chunk as done."""
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
            self._unacked_messages.discard(message)
            self._n_acked += 1
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        ready = [tp for tp, chunks in self._delivered.items() if chunks and chunks[0].acked]
        return (tp for tp in ready if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        chunks, done = self._delivered.get(tp, deque()), None
        while chunks and chunks[0].acked:
            done = chunks.popleft()
        return None if done is None else done.offset + 1

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: chunks skip offsets all the time."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the app finish and commit what it has begun, then forget the delivered chunks."""
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._delivered.pop(tp, None)

    async def perform_seek(self) -> None:
        """Seek to the committed offsets: every chunk that is not committed is redelivered.

        The flow stops. Faust resumes it after it has emptied its queues: what came into them
        between the seek and that would be lost.
        """
        async with self._turn:
            self.stop_flow()
            await super().perform_seek()
            await self._seek_to_the_earliest()
            self._delivered.clear()
            self._fetched.clear()

    async def _seek_to_the_earliest(self) -> None:
        """Seek to the beginning where nothing is committed: aiokafka would stay where it is."""
        new = [tp for tp in self.assignment() if not self._read_offset.get(tp)]
        if new:
            for tp, offset in (await self.earliest_offsets(*new)).items():
                await self._seek(tp, offset)

    async def rejoin(self) -> None:
        """Join the group again, with fresh metadata: there are more partitions to assign."""
        thread: Any = self._thread
        await thread.rejoin()

    async def seek(self, partition: TP, offset: int) -> None:
        """Seek to an offset; chunks delivered before do not count any more."""
        async with self._turn:
            await super().seek(partition, offset)
            self._delivered.pop(partition, None)
            self._fetched.pop(partition, None)


class Transport(driver.Transport):
    """The transport behind `sluice://host:port` broker addresses (entry point faust.transports)."""

    Consumer = Consumer
