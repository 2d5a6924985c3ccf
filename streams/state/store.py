"""Table storage that knows partitions: rows are bytes, and every row belongs to one partition.

A claim brings a partition's rows to the end of its changelog by `take` (`streams.state.ownership`);
Sluice's agents call `read`, `scan` and `write`. A write carries the changelog offset up to which it
is known to be acknowledged, so that a restart recovers only what the store lacks. What a process
wrote that was not the partition's owner is passed over (`streams.state.fence`).

Rows that were left for long are forgotten, and recovered from the beginning: a broker keeps the
record that a row was removed for a day (`delete.retention.ms`), and no longer.
"""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import rocksdict
from msgspec import json

from streams.kafka.records import KeyedRecord
from streams.state.fence import Fence

logger = logging.getLogger(__name__)

Rows = Mapping[bytes, bytes | None]
"""Row key to value; None removes the row."""

_OFFSET_KEY = b"\0changelog-offset"
_FENCE_KEY = b"\0fence"
_TIME_KEY = b"\0written"
_OWN_KEYS = frozenset((_OFFSET_KEY, _FENCE_KEY, _TIME_KEY))
MAX_AGE = 12 * 3600.0
"""Seconds since their last write after which a partition's rows are recovered from the beginning. A
partition that is owned is written at least every minute (`ownership.IDLE`)."""
CACHE = 16 << 20
"""Bytes of blocks that are kept of what is on disk, of all partitions together; RocksDB would keep
32 MiB of each."""
_fence = json.Decoder(Fence).decode
# What a kill takes from a store, the changelog brings back; rows and their offset go together.
_NO_LOG = rocksdict.WriteOptions()
_NO_LOG.disable_wal = True  # type: ignore[method-assign,assignment]  # a property, whatever its stub says


class PartitionStore(ABC):
    """Rows of bytes, partition by partition, each with the changelog offset it has reached."""

    @abstractmethod
    def read(self, partition: int, key: bytes) -> bytes | None:
        """Return a row, or None."""

    @abstractmethod
    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows of a partition whose keys begin with `prefix`, in any order."""

    @abstractmethod
    def write(self, partition: int, rows: Rows, offset: int, fence: Fence | None = None) -> None:
        """Put and remove rows.

        Args:
            partition: Whose rows these are.
            rows: Values by key; None removes a row.
            offset: The last changelog record that they came from.
            fence: The fence at that offset; None where it has not changed.
        """

    @abstractmethod
    def reached(self, partition: int) -> int | None:
        """Return the changelog offset that the rows have reached, None before the first."""

    @abstractmethod
    def fence(self, partition: int) -> Fence:
        """Return a copy of the fence at that offset."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all files; what is asked for next opens them again."""

    def take(self, partition: int, records: Iterable[KeyedRecord]) -> None:
        """Apply a run of a partition's changelog: what its owners wrote.

        Args:
            partition: Whose rows these are.
            records: All that there are from the offset that the rows have reached, in order; those
                before it are skipped.
        """
        reached, fence = self.reached(partition), self.fence(partition)
        rows: dict[bytes, bytes | None] = {}
        before = reached
        for record in records:
            if reached is None or record.offset > reached:
                reached = record.offset
                if fence.counts(record.key, record.headers):
                    rows[record.key or b""] = record.value
        if reached is not None and reached != before:
            self.write(partition, rows, reached, fence)


class MemoryStore(PartitionStore):
    """Rows in dictionaries: as fast as it gets, and gone with the process."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._offsets: dict[int, int] = {}
        self._fences: dict[int, Fence] = {}
        self._written: dict[int, float] = {}

    def read(self, partition: int, key: bytes) -> bytes | None:
        """Return a row, or None."""
        return self._rows[partition].get(key)

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows of a partition whose keys begin with `prefix`."""
        for key, value in list(self._rows[partition].items()):
            if key.startswith(prefix):
                yield key, value

    def write(self, partition: int, rows: Rows, offset: int, fence: Fence | None = None) -> None:
        """Put and remove rows."""
        own = self._rows[partition]
        for key, value in rows.items():
            if value is None:
                own.pop(key, None)
            else:
                own[key] = value
        self._offsets[partition], self._written[partition] = offset, time.time()
        if fence is not None:
            self._fences[partition] = fence

    def reached(self, partition: int) -> int | None:
        """Return the changelog offset that the rows have reached."""
        if time.time() - self._written.get(partition, math.inf) > MAX_AGE:
            for known in (self._rows, self._offsets, self._fences, self._written):
                known.pop(partition, None)
        return self._offsets.get(partition)

    def fence(self, partition: int) -> Fence:
        """Return a copy of the fence at the offset reached."""
        known = self._fences.get(partition, Fence())
        return Fence(known.owner, set(known.shadowed_keys))

    def close(self) -> None:
        """Keep the rows: there are no files."""


class RocksStore(PartitionStore):
    """Rows in one RocksDB a partition."""

    def __init__(self, folder: Path, name: str) -> None:
        """Open nothing yet.

        Args:
            folder: Of a process's tables, and of no other's.
            name: The table's, by which its files are called.
        """
        self._folder = folder
        self._name = name
        self._databases: dict[int, rocksdict.Rdict] = {}
        self._opens = threading.Lock()
        self._cache = rocksdict.Cache(CACHE)

    def read(self, partition: int, key: bytes) -> bytes | None:
        """Return a row, or None."""
        value: bytes | None = self._database(partition).get(key)
        return value

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows of a partition whose keys begin with `prefix`, in their order."""
        rows: Any = self._database(partition).items(from_key=prefix)
        for key, value in rows:
            if not key.startswith(prefix):
                return
            if key not in _OWN_KEYS:
                yield key, value

    def write(self, partition: int, rows: Rows, offset: int, fence: Fence | None = None) -> None:
        """Put and remove rows and move the offset, all or nothing."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_OFFSET_KEY, str(offset).encode())
        batch.put(_TIME_KEY, str(time.time()).encode())
        if fence is not None:
            batch.put(_FENCE_KEY, json.encode(fence))
        self._database(partition).write(batch, _NO_LOG)

    def reached(self, partition: int) -> int | None:
        """Return the changelog offset that the rows on disk have reached."""
        value = self._database(partition).get(_OFFSET_KEY)
        return None if value is None else int(value)

    def fence(self, partition: int) -> Fence:
        """Return the fence at the offset reached."""
        value = self._database(partition).get(_FENCE_KEY)
        return Fence() if value is None else _fence(value)

    def close(self) -> None:
        """Close all databases; a scan that was not read to its end would keep one locked."""
        with self._opens:
            while self._databases:
                self._databases.popitem()[1].close()
        gc.collect()

    def _database(self, partition: int) -> rocksdict.Rdict:
        with self._opens:  # partitions are loaded in other threads, too
            if partition not in self._databases:
                self._databases[partition] = self._opened(partition)
            return self._databases[partition]

    def _opened(self, partition: int) -> rocksdict.Rdict:
        folder = self._folder / f"{self._name}-{partition}.db"
        folder.parent.mkdir(parents=True, exist_ok=True)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        # Small, so that a process's memory is soon what it will stay at.
        options.set_write_buffer_size(8 << 20)
        tables = rocksdict.BlockBasedOptions()
        tables.set_block_cache(self._cache)
        options.set_block_based_table_factory(tables)
        opened = rocksdict.Rdict(str(folder), options=options)
        if opened.get(_OFFSET_KEY) is None or _is_recent(opened.get(_TIME_KEY)):
            return opened
        logger.info("%s: its rows are old, and are recovered from the changelog", folder)
        opened.close()
        rocksdict.Rdict.destroy(str(folder), options)
        return rocksdict.Rdict(str(folder), options=options)


def _is_recent(written: bytes | None) -> bool:
    """Whether rows that were written then (Unix seconds) may be gone on with; those that do not
    say so may not."""
    return written is not None and time.time() - float(written) <= MAX_AGE
