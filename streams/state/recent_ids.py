"""A bounded memory of recent query ids, against a client that sends one id twice.

It remembers at least the last `bound` ids of its partition, forgets the oldest first, and never
holds more than `bound` + SLOT. An id is kept as 64 bits of blake2b: one that is new is taken for
one of n remembered ids with probability n / 2^64 (65,536 ids: 4e-15), and is then treated as sent
twice. With it goes the offset of its record, so that a repetition can name the decision on it.
Memory: about 120 bytes an id (65,536 ids: 8 MB a partition); changelog: 22 bytes an id.

The memory is a ring of slots, each a row of its own, so that a chunk of 500 ids rewrites one or
two rows of 11 kB. Rows are written ahead of the commit that counts them: `restore` is told the
count that was committed, and forgets what a killed process remembered of a chunk it never
decided. (Otherwise that chunk's own ids would look sent twice when it is delivered again.)
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

SLOT = 512
"""Ids in a row. A chunk may hold as many and the bound still holds after a kill; see `Recent`."""
_EMPTY = 0
UNKNOWN = -1
"""In place of the offset of an id's record."""


class Slot(NamedTuple):
    """One row, JSON-ready. end: ids ever added when it was written; hashes: base64 of SLOT uint64,
    little-endian, 0 for none; offsets: base64 of SLOT int64, UNKNOWN in rows of older routers.
    """

    end: int
    hashes: str
    offsets: str = ""


class RecentIds:
    """The ids that a partition decided last. Deterministic: a function of what was added."""

    def __init__(self, bound: int = 65_536) -> None:
        """Remember at least `bound` ids, rounded up to whole slots.

        After a kill amid a chunk of n ids the oldest max(n - SLOT, 0) of them may be missing.
        Raises ValueError for a bound below 1.
        """
        if bound < 1:
            raise ValueError(f"bound: found {bound}, at least 1 id must be remembered")
        self.slots = -(-bound // SLOT) + 1
        """Slot numbers go from 0 to here."""
        self.count = 0
        """Ids ever added: to be committed with the rows that `add` returns."""
        self._ring = np.full(self.slots * SLOT, _EMPTY, dtype="<u8")
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

    def add(self, ids: Mapping[str, int] | Iterable[str]) -> dict[int, Slot]:
        """Remember ids, but for those that are.

        Args:
            ids: With the offsets of their records, or without.

        Returns:
            The rows that changed, by slot number.
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
        return {slot: self._row(slot) for slot in np.unique(places // SLOT).tolist()}

    def forget(self, ids: Iterable[str]) -> dict[int, Slot]:
        """Forget ids: they are new if they come again. Returns the rows that changed."""
        marks = [mark for mark in map(_hash, ids) if self._known.pop(mark, None) is not None]
        places = np.flatnonzero(np.isin(self._ring, np.array(marks, dtype="<u8")))
        self._ring[places] = _EMPTY
        self._offsets[places] = UNKNOWN
        return {slot: self._row(slot) for slot in np.unique(places // SLOT).tolist()}

    def restore(self, rows: Mapping[int, Slot], count: int) -> None:
        """Take over rows as of the commit that counted `count` ids.

        Raises ValueError for a row that is not one of this memory's.
        """
        self._ring[:], self._offsets[:] = _EMPTY, UNKNOWN
        for slot, row in rows.items():
            hashes = np.frombuffer(base64.b64decode(row.hashes, validate=True), dtype="<u8")
            offsets = np.frombuffer(base64.b64decode(row.offsets, validate=True), dtype="<i8")
            if not 0 <= slot < self.slots or len(hashes) != SLOT:
                raise ValueError(
                    f"row {slot} of {len(hashes)} ids does not belong to a memory of "
                    f"{self.slots} rows of {SLOT}: was it written with another bound?"
                )
            self._ring[slot * SLOT : (slot + 1) * SLOT] = hashes
            if len(offsets) == SLOT:
                self._offsets[slot * SLOT : (slot + 1) * SLOT] = offsets
            undecided = np.arange(count, min(row.end, count + len(self._ring))) % len(self._ring)
            self._ring[undecided[undecided // SLOT == slot]] = _EMPTY
        self.count = count
        self._known = dict(zip(self._ring.tolist(), self._offsets.tolist(), strict=True))
        self._known.pop(_EMPTY, None)

    def _row(self, slot: int) -> Slot:
        part = slice(slot * SLOT, (slot + 1) * SLOT)
        hashes, offsets = (
            base64.b64encode(ring[part].tobytes()).decode() for ring in (self._ring, self._offsets)
        )
        return Slot(self.count, hashes, offsets)


def _hash(text: str) -> int:
    """64 bits, never 0."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") or 1
