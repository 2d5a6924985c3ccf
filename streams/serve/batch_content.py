"""The bytes of files: in a folder, or wherever fsspec can keep them."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.core import url_to_fs

COPY = 1 << 20
"""Bytes that are read at once."""


class Content:
    """Files by id, at a location that all serving processes share.

    A file is there whole or not at all. Every method blocks.
    """

    def __init__(self, location: str) -> None:
        """Make nothing yet, so that a front without batches needs no disk.

        Args:
            location: A folder, or a URL that fsspec knows, such as s3://bucket/folder.

        Raises:
            ValueError: fsspec does not know the kind of location.
            ImportError: A package is missing for it.
        """
        self._system, self._folder = url_to_fs(location)

    def put(self, id: str, source: BinaryIO) -> int:
        """Keep what `source` holds from its position on; return how many bytes."""
        self._system.makedirs(self._folder, exist_ok=True)
        draft = f"{self._folder}/.{uuid.uuid4().hex}"
        with self._system.open(draft, "wb") as out:
            shutil.copyfileobj(source, out, COPY)
            out.flush()
            _to_disk(out)
        size: int = self._system.size(draft)
        self._system.mv(draft, self._path(id))
        return size

    def parts(self, id: str) -> Iterator[bytes]:
        """Yield a file's bytes, piece by piece. Raises FileNotFoundError."""
        with self._system.open(self._path(id), "rb") as file:
            while part := file.read(COPY):
                yield part

    def fetch(self, id: str, path: Path) -> None:
        """Copy a file to a path of this machine. Raises FileNotFoundError."""
        with path.open("wb") as out:
            out.writelines(self.parts(id))

    def delete(self, id: str) -> None:
        """Remove a file, if it is there."""
        if self._system.exists(self._path(id)):
            self._system.rm_file(self._path(id))

    def _path(self, id: str) -> str:
        return f"{self._folder}/{id}.jsonl"


def _to_disk(file: Any) -> None:
    """Sync a file of this machine; object stores have no descriptor."""
    try:
        descriptor = file.fileno()
    except (AttributeError, OSError):
        return
    os.fsync(descriptor)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for the files of one run of a batch."""
    return tempfile.TemporaryDirectory(prefix="sluice-batch-")
