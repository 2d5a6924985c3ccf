"""Files and batches of the HTTP front: states on a compacted topic, bytes at a shared location.

Every serving process reads the whole topic and follows it. A request may write a new file, a new
batch or an order to cancel; what becomes of a batch is written by the process that runs it. Each
of these has a key of its own, so that none overwrites another's.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, BinaryIO, TypeVar

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from streams.client.errors import ClientError
from streams.config.settings import Config
from streams.kafka import clients
from streams.kafka.follower import Follower
from streams.kafka.logs import to_record
from streams.kafka.producer import Outbox
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topics
from streams.serve.batch_content import Content
from streams.serve.batch_records import (
    BATCH,
    FILE,
    UNFINISHED,
    Counts,
    StoredBatch,
    StoredFile,
)

ANSWER = 10.0
"""Seconds in which a broker answers for the end of the topic."""
CANCEL, COUNTS = "cancel", "counts"
"""What follows a batch's id, after a slash, in the keys of its other records."""

Stored = TypeVar("Stored", StoredFile, StoredBatch)


class Store:
    """Use as a context. Ids are drawn here: a path never comes from a request unchecked."""

    def __init__(self, config: Config) -> None:
        """Open nothing yet. Raises ValueError for a location of files that nobody knows."""
        try:
            self.content = Content(config.serve.files)
        except (ValueError, ImportError) as error:
            raise ValueError(f"[serve] files = {config.serve.files!r}: {error}") from None
        self._connection = for_librdkafka(config.broker)
        self._broker = config.broker
        self._topic = Topics(config.topics.prefix).batches
        self._files: dict[str, StoredFile] = {}
        self._batches: dict[str, StoredBatch] = {}
        self._counts: dict[str, Counts] = {}
        self._cancelled: dict[str, int] = {}
        self._kinds: dict[str, tuple[dict[str, Any], Any]] = {
            "": (self._batches, StoredBatch),
            CANCEL: (self._cancelled, int),
            COUNTS: (self._counts, Counts),
        }
        self._reached = 0
        self._more = asyncio.Event()
        self._follower: Follower | None = None
        self._outbox: Outbox | None = None
        self._ends: Consumer | None = None

    async def __aenter__(self) -> Store:
        """Read the topic. Raises ClientError where it is missing."""
        await asyncio.to_thread(self._require)
        servers, security = self._broker.servers, self._broker.security
        self._follower = Follower(servers, self._topic, self._learn, security)
        await self._follower.caught_up()
        self._outbox = Outbox(servers, security)
        self._ends = clients.consumer(self._connection, "client")
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in (self._outbox, self._follower, self._ends):
            if part is not None:
                await asyncio.to_thread(part.close)

    # Files

    async def add_file(
        self, source: BinaryIO, filename: str, purpose: str, owner: str, id: str
    ) -> StoredFile:
        """Keep a file: first its bytes, then the record that makes it known."""
        size = await asyncio.to_thread(self.content.put, id, source)
        file = StoredFile(
            id=id,
            bytes=size,
            created_at=int(time.time()),
            filename=filename,
            purpose=purpose,
            owner=owner,
        )
        await self._write(id, msgspec.json.encode(file))
        return file

    async def file(self, id: str, owner: str) -> StoredFile | None:
        """Return an owner's file, None where there is none."""
        found = self._files.get(id) or await self._newest(self._files, id)
        return found if found is not None and found.owner == owner else None

    def files(self, owner: str) -> list[StoredFile]:
        """Return an owner's files, the newest first."""
        found = [file for file in self._files.values() if file.owner == owner]
        return sorted(found, key=lambda file: (-file.created_at, file.id))

    async def delete_file(self, file: StoredFile) -> None:
        """Remove a file: first the record, then the bytes."""
        await self._write(file.id, None)
        await asyncio.to_thread(self.content.delete, file.id)

    # Batches

    async def save(self, batch: StoredBatch) -> None:
        """Write a batch."""
        await self._write(batch.id, msgspec.json.encode(batch))

    async def count(self, id: str, counts: Counts) -> None:
        """Tell how far a batch is."""
        await self._write(f"{id}/{COUNTS}", msgspec.json.encode(counts))

    async def cancel(self, id: str) -> None:
        """Ask whoever runs a batch to stop."""
        await self._write(f"{id}/{CANCEL}", msgspec.json.encode(int(time.time())))

    def cancelled(self, id: str) -> bool:
        """Whether somebody has asked for that."""
        return id in self._cancelled

    async def batch(self, id: str, owner: str | None = None) -> StoredBatch | None:
        """Return a batch, of an owner where one is named; None where there is none."""
        found = self._batches.get(id) or await self._newest(self._batches, id)
        return self._told(found) if found and owner in (None, found.owner) else None

    def batches(self, owner: str | None = None) -> list[StoredBatch]:
        """Return batches, the newest first."""
        found = [self._told(b) for b in self._batches.values() if owner in (None, b.owner)]
        return sorted(found, key=lambda batch: (-batch.created_at, batch.id))

    def _told(self, batch: StoredBatch) -> StoredBatch:
        """A copy of a batch with what other records say of it."""
        told = msgspec.structs.replace(batch)
        if batch.status in UNFINISHED:
            told.request_counts = self._counts.get(batch.id, batch.request_counts)
            if (at := self._cancelled.get(batch.id)) is not None:
                told.status, told.cancelling_at = "cancelling", at
        return told

    # The topic

    def _require(self) -> None:
        asked = clients.admin(self._connection).list_topics(timeout=ANSWER)
        if self._topic not in asked.topics:
            raise ClientError(
                f"there is no topic {self._topic}; make it with: sluice topics create"
            )

    def _learn(self, message: Message) -> None:
        record = to_record(message)
        key = (record.key or b"").decode(errors="replace")
        with suppress(msgspec.MsgspecError):  # not ours
            self._take(key, record.value)
        self._reached = record.offset + 1
        self._more.set()

    def _take(self, key: str, value: bytes | None) -> None:
        id, _, kind = key.partition("/")
        held, form = self._kinds.get(kind, (None, None))
        if kind == "" and key.startswith(FILE):
            held, form = self._files, StoredFile
        if held is None:
            return
        if value is None:
            held.pop(id, None)
            return
        found = msgspec.json.decode(value, type=form)
        before = held.get(id)
        if isinstance(before, StoredBatch) and before.status not in UNFINISHED:
            return  # of one that was paused and superseded: what has ended stays as it is
        held[id] = found

    async def _write(self, key: str, value: bytes | None) -> None:
        """Write a record, and wait until this process has read it back."""
        assert self._outbox is not None, "open the store first"
        sent = self._outbox.batch()
        sent.send(self._topic, value, key.encode(), 0)
        await self._read_to(await sent.delivered() + 1)

    async def _newest(self, held: dict[str, Stored], id: str) -> Stored | None:
        """What another process may have written just now."""
        if not id.startswith((FILE, BATCH)):
            return None
        await self._read_to(await asyncio.to_thread(self._end))
        return held.get(id)

    def _end(self) -> int:
        assert self._ends is not None, "open the store first"
        place = TopicPartition(self._topic, 0)
        end: int = self._ends.get_watermark_offsets(place, timeout=ANSWER)[1]
        return end

    async def _read_to(self, offset: int) -> None:
        try:
            async with asyncio.timeout(ANSWER):
                while self._reached < offset:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:  # the broker is slow, or its last records were compacted away
            return
