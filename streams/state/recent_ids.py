"""A bounded memory of recent query ids, against a client that sends one id twice.

It remembers at least the last `bound` ids of its partition, forgets the oldest first, and never
holds more than `bound` + BLOCK. An id is kept as 64 bits of blake2b: one that is new is taken for
one of n remembered ids with probability n / 2^64 (65,536 ids: 4e-15), and is then treated as sent
twice. With it goes the offset of its record, so that a repetition can name the decision on it.
Memory: 32 bytes an id, from the beginning (65,536 ids: 2 MB a partition). Changelog: 22 bytes.

An id is found by binary search among those that were there when they were last sorted, or in a
dictionary of the few that have come since. What the ring holds at its place says whether it still
counts, so that nothing else has to follow what is forgotten.

The memory is a ring, cut into rows of ROW_IDS ids, so that a chunk writes what it has added and
little more: 0.7 kB for a few ids. Rows are written ahead of the commit that counts them: `restore`
is told the count that was committed, and forgets what a killed process remembered of a chunk it
never decided. (Otherwise that chunk's own ids would look sent twice when it is delivered again.)
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
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
LATE = 4096
"""Ids that may come before all are sorted again, which takes some milliseconds."""
_EMPTY = 0
_NOWHERE = -1
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
        self._sort()

    def __len__(self) -> int:
        return int(np.count_nonzero(self._ring))

    def seen(self, ids: Iterable[str]) -> list[bool]:
        """Tell for each id whether it is remembered, or came earlier in `ids`."""
        marks = [_hash(id) for id in ids]
        before: set[int] = set()
        found = []
        for mark, place in zip(marks, self._find(marks), strict=True):
            found.append(place != _NOWHERE or mark in before)
            before.add(mark)
        return found

    def offset_of(self, id: str) -> int:
        """Return the offset of the record of a remembered id; UNKNOWN where it is not known."""
        (place,) = self._find([_hash(id)])
        return UNKNOWN if place == _NOWHERE else int(self._offsets[place])

    def add(self, ids: Mapping[str, int] | Iterable[str]) -> dict[int, IdRow]:
        """Remember ids, but for those that are.

        Args:
            ids: With the offsets of their records, or without.

        Returns:
            The rows that changed, by number.
        """
        given = ids if isinstance(ids, Mapping) else dict.fromkeys(ids, UNKNOWN)
        marks = {_hash(id): offset for id, offset in given.items()}
        places = self._find(list(marks))
        fresh = [each for each, at in zip(marks.items(), places, strict=True) if at == _NOWHERE]
        self.count += len(fresh)
        kept = fresh[-len(self._ring) :]
        free = np.arange(self.count - len(kept), self.count) % len(self._ring)
        self._ring[free] = np.array([mark for mark, _ in kept], dtype="<u8")
        self._offsets[free] = np.array([at for _, at in kept], dtype="<i8")
        self._late.update(zip((mark for mark, _ in kept), free.tolist(), strict=True))
        if len(self._late) > LATE:
            self._sort()
        return self._changed(free)

    def forget(self, ids: Iterable[str]) -> dict[int, IdRow]:
        """Forget ids: they are new if they come again. Returns the rows that changed."""
        found = self._find([_hash(id) for id in ids])
        places = np.array([place for place in found if place != _NOWHERE], dtype=np.int64)
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
        self._sort()

    def _find(self, marks: Sequence[int]) -> list[int]:
        """Return the place of each hash in the ring, or _NOWHERE."""
        asked = np.array(marks, dtype="<u8")
        nearest = np.minimum(np.searchsorted(self._sorted, asked), len(self._ring) - 1)
        places = self._places[nearest]
        found: list[int] = np.where(self._ring[places] == asked, places, _NOWHERE).tolist()
        for i, mark in enumerate(marks):
            if found[i] == _NOWHERE and (late := self._late.get(mark)) is not None:
                found[i] = late if self._ring[late] == mark else _NOWHERE
        return found

    def _sort(self) -> None:
        self._places = np.argsort(self._ring)
        self._sorted = self._ring[self._places]
        self._late: dict[int, int] = {}
        """Places of the ids that have come since."""

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
