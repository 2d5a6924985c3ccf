"""Files and batches of the HTTP front: states on a compacted topic, bytes at a shared location.

Every serving process reads the whole topic and follows it. A request may write a new file, a new
batch or an order to cancel; what becomes of a batch is written by the process that runs it. Each
of these has a key of its own, so that none overwrites another's.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, BinaryIO, TypeVar

import msgspec

from streams.config.settings import Config
from streams.serve.batch_content import Content
from streams.serve.batch_log import BatchLog
from streams.serve.batch_records import (
    BATCH,
    FILE,
    UNFINISHED,
    Counts,
    StoredBatch,
    StoredFile,
)

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
        self._log = BatchLog(config, self._take)
        self._files: dict[str, StoredFile] = {}
        self._batches: dict[str, StoredBatch] = {}
        self._counts: dict[str, Counts] = {}
        self._cancelled: dict[str, int] = {}
        self._kinds: dict[str, tuple[dict[str, Any], Any]] = {
            "": (self._batches, StoredBatch),
            CANCEL: (self._cancelled, int),
            COUNTS: (self._counts, Counts),
        }

    async def __aenter__(self) -> Store:
        """Read the topic. Raises ClientError where it is missing."""
        await self._log.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._log.close()

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
        await self._log.write(id, msgspec.json.encode(file))
        return file

    async def file(self, id: str, owner: str) -> StoredFile | None:
        """Return an owner's file, None where there is none."""
        found = await self._newest(self._files, id)
        return found if found is not None and found.owner == owner else None

    def files(self, owner: str) -> list[StoredFile]:
        """Return an owner's files, the newest first."""
        found = [file for file in self._files.values() if file.owner == owner]
        return sorted(found, key=lambda file: (-file.created_at, file.id))

    async def delete_file(self, file: StoredFile) -> None:
        """Remove a file: first the record, then the bytes."""
        await self._log.write(file.id, None)
        await asyncio.to_thread(self.content.delete, file.id)

    # Batches

    async def save(self, batch: StoredBatch) -> None:
        """Write a batch."""
        await self._log.write(batch.id, msgspec.json.encode(batch))

    async def count(self, id: str, counts: Counts) -> None:
        """Tell how far a batch is."""
        await self._log.write(f"{id}/{COUNTS}", msgspec.json.encode(counts))

    async def cancel(self, id: str) -> None:
        """Ask whoever runs a batch to stop."""
        await self._log.write(f"{id}/{CANCEL}", msgspec.json.encode(int(time.time())))

    def cancelled(self, id: str) -> bool:
        """Whether somebody has asked for that."""
        return id in self._cancelled

    async def batch(self, id: str, owner: str | None = None) -> StoredBatch | None:
        """Return a batch, of an owner where one is named; None where there is none."""
        found = await self._newest(self._batches, id)
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

    async def _newest(self, held: dict[str, Stored], id: str) -> Stored | None:
        """One of those held, which another process may have written just now."""
        if id not in held and id.startswith((FILE, BATCH)):
            await self._log.catch_up()
        return held.get(id)

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
