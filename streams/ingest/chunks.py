"""Feeds Faust by chunks: up to N records of one partition arrive as one message.

Faust spends its time per message (a few thousand a second); a chunk costs as much as a message
did. The `ConsumerScheduler` setting names the topics, and a transport's consumer cuts what it
fetched, makes one message of each chunk, and keeps its own acknowledgements. A chunk's message
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
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any, ClassVar

from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message, ack_lock
from mode.services import WaitResults

from streams.ingest.begun import Begun
from streams.ingest.fetch import LoopConsumer

TURN = 0.2
"""Seconds that a fetch waits for records at most, and so a seek for its turn."""

Record = Any
"""An aiokafka ConsumerRecord: topic, partition, offset, timestamp, headers, key, value."""


class Chunk(list[Record]):
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
        return int(self[-1].offset)


class ChunkScheduler(DefaultSchedulingStrategy):
    """Names the topics that the consumer cuts into chunks; yields chunks, partitions in turn, as
    Faust yields records."""

    topics: ClassVar[frozenset[str]] = frozenset()
    size: ClassVar[int] = 500


def chunked(topics: Collection[str], size: int) -> type[ChunkScheduler]:
    """Make the scheduler class for Faust's `ConsumerScheduler` setting.

    Args:
        topics: those to cut into chunks.
        size: records per chunk at most.

    Raises:
        ValueError: the size is below 1.
    """
    if size < 1:
        raise ValueError(f"a chunk holds at least 1 record, not {size}")
    return type("Chunks", (ChunkScheduler,), {"topics": frozenset(topics), "size": size})


class Consumer(driver.Consumer):
    """Faust's aiokafka consumer, extended by chunks.

    For each chunked partition it keeps the chunks it has delivered, oldest first, and commits up to
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

    def _is_chunked(self, topic: str) -> bool:
        return topic in self.scheduler.topics

    async def _wait_next_records(
        self, timeout: float
    ) -> tuple[dict[TP, list[Any]] | None, set[TP] | None]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # as in Faust
        if not self._get_active_partitions():
            await self.sleep(TURN)
            return None, None
        async with self._turn:
            if not self.flow_active:  # Faust would wait here, and block a seek
                return None, None
            records, active = await super()._wait_next_records(min(timeout, TURN))
            cut = {
                tp: list(self._cut(tp, some)) if self._is_chunked(tp.topic) else some
                for tp, some in (records or {}).items()
            }
            return cut, active

    def _cut(self, tp: TP, records: list[Record]) -> Iterator[Chunk]:
        size, now = self.scheduler.size, time.time()
        for start in range(0, len(records), size):
            chunk = Chunk(records[start : start + size])
            chunk.after, chunk.fetched = self._fetched.get(tp), now
            self._fetched[tp] = chunk.last
            yield chunk

    def _to_message(self, tp: TP, record: Record | Chunk) -> ConsumerMessage:
        if not isinstance(record, Chunk):
            return super()._to_message(tp, record)
        message = super()._to_message(tp, record[-1])
        message.key, message.headers = None, None
        message.value = record  # type: ignore[assignment]  # Faust says bytes; its agents take any
        self._delivered.setdefault(tp, deque()).append(message)
        return message

    def ack(self, message: Message) -> bool:
        """Mark a message, or all records of a chunk, as done."""
        if not self._is_chunked(message.topic):
            return bool(super().ack(message))
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
            self._unacked_messages.discard(message)
            self._n_acked += 1
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        ready = [tp for tp, chunks in self._delivered.items() if chunks and chunks[0].acked]
        return chain(
            super()._filter_tps_with_pending_acks(topics),
            (tp for tp in ready if topics is None or tp in topics or tp.topic in topics),
        )

    def _new_offset(self, tp: TP) -> int | None:
        if not self._is_chunked(tp.topic):
            offset: int | None = super()._new_offset(tp)
            return offset
        chunks, done = self._delivered.get(tp, deque()), None
        while chunks and chunks[0].acked:
            done = chunks.popleft()
        return None if done is None else done.offset + 1

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if not self._is_chunked(tp.topic):
            await super()._add_gap(tp, offset_from, offset_to)

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
        tps = {tp for tp in self.assignment() if self._is_chunked(tp.topic)}
        new = [tp for tp in tps if not self._read_offset.get(tp)]
        if new:
            for tp, offset in (await self.earliest_offsets(*new)).items():
                await self._seek(tp, offset)

    async def rejoin(self) -> None:
        """Join the group again, with fresh metadata: there are more partitions to assign."""
        thread: Any = self._thread
        await thread.rejoin()

    async def seek(self, partition: TP, offset: int) -> None:
        """Seek to an offset; chunks delivered before do not count any more."""
        if not self._is_chunked(partition.topic):
            await super().seek(partition, offset)
            return
        async with self._turn:
            await super().seek(partition, offset)
            self._delivered.pop(partition, None)
            self._fetched.pop(partition, None)


class Transport(driver.Transport):
    """The transport behind `sluice://host:port` broker addresses (entry point faust.transports)."""

    Consumer = Consumer
