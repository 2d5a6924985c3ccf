"""Files and batches of the HTTP front: a folder that all its processes share.

A batch is run by the process that holds its lock. The kernel releases the lock of a process that is
killed, and another goes on with the batch.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

UNFINISHED = frozenset({"validating", "in_progress", "finalizing", "cancelling"})


class StoredFile(msgspec.Struct, kw_only=True):
    """A file, as OpenAI describes it. owner: name of the key that it belongs to."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    owner: str
    object: str = "file"
    status: str = "processed"


class Counts(msgspec.Struct, kw_only=True):
    """Requests of a batch."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class StoredBatch(msgspec.Struct, kw_only=True):
    """A batch, as OpenAI describes it. owner, tenant: whose it is, and on whose behalf."""

    id: str
    input_file_id: str
    endpoint: str
    completion_window: str
    created_at: int
    expires_at: int
    owner: str
    tenant: str | None = None
    object: str = "batch"
    status: str = "validating"
    errors: dict[str, Any] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: Counts = msgspec.field(default_factory=Counts)
    metadata: dict[str, str] | None = None


class Store:
    """The folder. Ids are drawn here: a path never comes from a request unchecked."""

    def __init__(self, folder: Path) -> None:
        """folder: made with the first file, so that a front without batches needs no disk."""
        self._folder = folder

    def draft(self) -> Path:
        """Return where an upload may be written before it is added."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f".{uuid.uuid4().hex}"

    def content(self, id: str) -> Path:
        """Where the bytes of a file are."""
        return self._folder / f"{id}.jsonl"

    def add_file(self, path: Path, filename: str, purpose: str, owner: str, id: str) -> StoredFile:
        """Take in the file at `path`, which is moved."""
        size = path.stat().st_size
        os.replace(path, self.content(id))
        file = StoredFile(
            id=id,
            bytes=size,
            created_at=int(time.time()),
            filename=filename,
            purpose=purpose,
            owner=owner,
        )
        self._write(f"{id}.json", file)
        return file

    def file(self, id: str, owner: str) -> StoredFile | None:
        """Return an owner's file, None where there is none."""
        found: StoredFile | None = self._read(id, "file-", StoredFile)
        return found if found is not None and found.owner == owner else None

    def files(self, owner: str) -> list[StoredFile]:
        """Return an owner's files, the newest first."""
        found = (self.file(path.stem, owner) for path in self._folder.glob("file-*.json"))
        return sorted((f for f in found if f is not None), key=lambda f: (-f.created_at, f.id))

    def delete_file(self, file: StoredFile) -> None:
        """Remove a file."""
        self.content(file.id).unlink(missing_ok=True)
        (self._folder / f"{file.id}.json").unlink(missing_ok=True)

    def save(self, batch: StoredBatch) -> None:
        """Write a batch, whole or not at all."""
        self._write(f"{batch.id}.json", batch)

    def batch(self, id: str, owner: str | None = None) -> StoredBatch | None:
        """Return a batch, of an owner where one is named; None where there is none."""
        found: StoredBatch | None = self._read(id, "batch_", StoredBatch)
        if found is None or owner not in (None, found.owner):
            return None
        if found.status in UNFINISHED and self.cancelled(id):
            found.status = "cancelling"
        return found

    def batches(self, owner: str | None = None) -> list[StoredBatch]:
        """Return batches, the newest first."""
        found = (self.batch(path.stem, owner) for path in self._folder.glob("batch_*.json"))
        return sorted((b for b in found if b is not None), key=lambda b: (-b.created_at, b.id))

    def cancel(self, id: str) -> None:
        """Ask whoever runs a batch to stop."""
        (self._folder / f"{id}.cancel").touch()

    def cancelled(self, id: str) -> bool:
        """Whether somebody has asked for that."""
        return (self._folder / f"{id}.cancel").exists()

    @contextmanager
    def lock(self, id: str) -> Iterator[bool]:
        """Hold a batch's lock while the context is open; False where another process has it."""
        with (self._folder / f"{id}.lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _write(self, name: str, value: object) -> None:
        draft = self.draft()
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(value))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._folder / name)

    def _read(self, id: str, begins: str, kind: type[Any]) -> Any:
        name = id.removeprefix(begins)
        if not id.startswith(begins) or not name.isalnum() or not name.isascii():
            return None
        try:
            return msgspec.json.decode((self._folder / f"{id}.json").read_bytes(), type=kind)
        except FileNotFoundError:
            return None


def new_id(begins: str) -> str:
    """Draw an id."""
    return begins + uuid.uuid4().hex
