"""A bounded memory of recent query ids, against a client that sends one id twice.

It remembers at least the last `bound` ids of its partition, forgets the oldest first, and never
holds more than `bound` + BLOCK. An id is kept as 64 bits of blake2b: one that is new is taken for
one of n remembered ids with probability n / 2^64 (65,536 ids: 4e-15), and is then treated as sent
twice. With it goes the offset of its record, so that a repetition can name the decision on it.
Memory: about 120 bytes an id (65,536 ids: 8 MB a partition); changelog: 22 bytes an id.

The memory is a ring, cut into rows of ROW_IDS ids, so that a chunk writes what it has added and
little more: 0.7 kB for a few ids. Rows are written ahead of the commit that counts them: `restore`
is told the count that was committed, and forgets what a killed process remembered of a chunk it
never decided. (Otherwise that chunk's own ids would look sent twice when it is delivered again.)
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from router.arrays import Ints

BLOCK = 512
"""The ring holds a multiple of so many ids, and as many more than its bound: a chunk may hold as
many and the bound still holds after a kill. Rows of older routers held a block each."""
ROW_IDS = 32
"""Ids in a row."""
BLOCK_ROWS = BLOCK // ROW_IDS
"""Rows in a block."""
_EMPTY = 0
UNKNOWN = -1
"""In place of the offset of an id's record."""


class IdRow(NamedTuple):
    """One row of the ring, JSON-ready.

    Attributes:
        end: Ids ever added when it was written.
        hashes: Base64 of ROW_IDS uint64, little-endian, 0 for none.
        offsets: Base64 of ROW_IDS int64, UNKNOWN in rows of older routers.
    """

    end: int
    hashes: str
    offsets: str = ""

    def cut(self) -> list[IdRow]:
        """Return an older router's row, a whole block, as rows of today. Raises ValueError."""
        hashes, offsets = (base64.b64decode(ids, validate=True) for ids in self[1:])
        size = len(hashes) // BLOCK_ROWS
        parts = (slice(i * size, (i + 1) * size) for i in range(BLOCK_ROWS))
        return [
            IdRow(self.end, *(base64.b64encode(ids[part]).decode() for ids in (hashes, offsets)))
            for part in parts
        ]


class RecentIds:
    """The ids that a partition decided last. Deterministic: a function of what was added."""

    def __init__(self, bound: int = 65_536) -> None:
        """Remember at least `bound` ids, rounded up to whole blocks.

        After a kill amid a chunk of n ids the oldest max(n - BLOCK, 0) of them may be missing.
        Raises ValueError for a bound below 1.
        """
        if bound < 1:
            raise ValueError(f"bound: found {bound}, at least 1 id must be remembered")
        self.rows = (-(-bound // BLOCK) + 1) * BLOCK_ROWS
        """Row numbers go from 0 to here."""
        self.count = 0
        """Ids ever added: to be committed with the rows that `add` returns."""
        self._ring = np.full(self.rows * ROW_IDS, _EMPTY, dtype="<u8")
        self._offsets = np.full(len(self._ring), UNKNOWN, dtype="<i8")
        self._known: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._known)

    def seen(self, ids: Iterable[str]) -> list[bool]:
        """Tell for each id whether it is remembered, or came earlier in `ids`."""
        before: set[int] = set()
        found = []
        for mark in map(_hash, ids):
            found.append(mark in self._known or mark in before)
            before.add(mark)
        return found

    def offset_of(self, id: str) -> int:
        """Return the offset of the record of a remembered id; UNKNOWN where it is not known."""
        return self._known.get(_hash(id), UNKNOWN)

    def add(self, ids: Mapping[str, int] | Iterable[str]) -> dict[int, IdRow]:
        """Remember ids, but for those that are.

        Args:
            ids: With the offsets of their records, or without.

        Returns:
            The rows that changed, by number.
        """
        given = ids if isinstance(ids, Mapping) else dict.fromkeys(ids, UNKNOWN)
        marks = {_hash(id): offset for id, offset in given.items()}
        fresh = [(mark, at) for mark, at in marks.items() if mark not in self._known]
        self.count += len(fresh)
        kept = fresh[-len(self._ring) :]
        places = np.arange(self.count - len(kept), self.count) % len(self._ring)
        for mark in self._ring[places].tolist():
            self._known.pop(mark, None)
        self._known.update(kept)
        self._ring[places] = np.array([mark for mark, _ in kept], dtype="<u8")
        self._offsets[places] = np.array([at for _, at in kept], dtype="<i8")
        return self._changed(places)

    def forget(self, ids: Iterable[str]) -> dict[int, IdRow]:
        """Forget ids: they are new if they come again. Returns the rows that changed."""
        marks = [mark for mark in map(_hash, ids) if self._known.pop(mark, None) is not None]
        places = np.flatnonzero(np.isin(self._ring, np.array(marks, dtype="<u8")))
        self._ring[places] = _EMPTY
        self._offsets[places] = UNKNOWN
        return self._changed(places)

    def restore(self, rows: Mapping[int, IdRow], count: int) -> None:
        """Take over rows as of the commit that counted `count` ids.

        Raises ValueError for a row that is not one of this memory's.
        """
        self._ring[:], self._offsets[:] = _EMPTY, UNKNOWN
        for number, row in rows.items():
            hashes = np.frombuffer(base64.b64decode(row.hashes, validate=True), dtype="<u8")
            offsets = np.frombuffer(base64.b64decode(row.offsets, validate=True), dtype="<i8")
            if not 0 <= number < self.rows or len(hashes) != ROW_IDS:
                raise ValueError(
                    f"row {number} of {len(hashes)} ids does not belong to a memory of "
                    f"{self.rows} rows of {ROW_IDS}: was it written with another bound?"
                )
            self._ring[number * ROW_IDS : (number + 1) * ROW_IDS] = hashes
            if len(offsets) == ROW_IDS:
                self._offsets[number * ROW_IDS : (number + 1) * ROW_IDS] = offsets
            undecided = np.arange(count, min(row.end, count + len(self._ring))) % len(self._ring)
            self._ring[undecided[undecided // ROW_IDS == number]] = _EMPTY
        self.count = count
        self._known = dict(zip(self._ring.tolist(), self._offsets.tolist(), strict=True))
        self._known.pop(_EMPTY, None)

    def _changed(self, places: Ints) -> dict[int, IdRow]:
        return {number: self._row(number) for number in sorted(set((places // ROW_IDS).tolist()))}

    def _row(self, number: int) -> IdRow:
        part = slice(number * ROW_IDS, (number + 1) * ROW_IDS)
        hashes, offsets = (
            base64.b64encode(ring[part].tobytes()).decode() for ring in (self._ring, self._offsets)
        )
        return IdRow(self.count, hashes, offsets)


def _hash(text: str) -> int:
    """64 bits, never 0."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") or 1
