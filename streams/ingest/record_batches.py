"""Reads records whose headers have names that are not UTF-8, which aiokafka gives up on.

Kafka's protocol says that names are text, and no broker checks it. One such record would end every
router that fetches it, again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import memory_records
from aiokafka.record.default_records import _DefaultRecordBatchPy


class _Text(bytearray):
    """Bytes whose parts are decoded with U+FFFD for what is no text."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Text(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class _ReadableBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # marked as final
    """A batch read in Python, with readable names."""

    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Text(self._buffer)


class RecordBatch:
    """A batch as aiokafka reads it, and read again in Python where a name is no text."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        """Args:
        batch: aiokafka's.
        data: The bytes that it reads.
        """
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                read += 1
                yield record
        except (UnicodeDecodeError, CorruptRecordException) as error:
            # Without its extensions aiokafka wraps the one in the other.
            if not isinstance(error.__cause__ or error, UnicodeDecodeError):
                raise
            yield from islice(_ReadableBatch(self._data), read, None)


class FetchedRecords(memory_records._MemoryRecordsPy):  # type: ignore[misc]  # marked as final
    """The batches of a fetch."""

    def next_batch(self, *arguments: Any) -> Any:
        """Return the next batch; None after the last."""
        data = self._next_slice
        batch = super().next_batch(*arguments)
        return batch if batch is None or data is None else RecordBatch(batch, data)


def install() -> None:
    """Have every aiokafka consumer of this process read its batches so."""
    fetcher.MemoryRecords = FetchedRecords
