"""Reservations whose result never comes: released at their deadline, charged if it comes late."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from streams.state.rows import Log, Row, RowHead, row_key, row_position

LATE = 86_400.0
"""Seconds that an expired reservation is remembered, so that a late result is still charged."""


class Chunk(NamedTuple):
    """The decisions of one chunk: a run of offsets that were decided at the same moment."""

    decided_at: float
    log: Log
    first: int
    last: int

    def keys(self) -> Iterator[str]:
        """Yield the keys of its rows, those that are finished too."""
        return (row_key(self.log, offset) for offset in range(self.first, self.last + 1))


class Deadlines:
    """The open chunks of a partition, oldest first: a few bytes a chunk, whatever its size."""

    def __init__(self, rows: Iterable[tuple[str, Row | RowHead]] = ()) -> None:
        """`rows` are those that a partition was loaded with; expired ones wait for `LATE`."""
        self._open: deque[Chunk] = deque()
        self._late: deque[Chunk] = deque()
        routed = sorted(
            (row.receipt.decided_at, *row_position(key), row.expired)
            for key, row in rows
            if row.receipt.decision == "routed"
        )
        for (moment, log, expired), group in groupby(routed, lambda at: (at[0], at[1], at[3])):
            offsets = [offset for _, _, offset, _ in group]
            chunk = Chunk(moment, log, offsets[0], offsets[-1])
            (self._late if expired else self._open).append(chunk)

    def add(self, chunk: Chunk) -> None:
        """Note a chunk that has been decided. Chunks come in the order of their decisions."""
        self._open.append(chunk)

    def due(self, now: float, seconds: float) -> list[str]:
        """Take the keys of rows decided `seconds` or longer before `now`; some are finished."""
        keys: list[str] = []
        while self._open and self._open[0].decided_at + seconds <= now:
            chunk = self._open.popleft()
            keys.extend(chunk.keys())
            self._late.append(chunk)
        return keys

    def forgotten(self, now: float) -> list[str]:
        """Take the keys of rows for which not even a late result is expected any more."""
        keys: list[str] = []
        while self._late and self._late[0].decided_at + LATE <= now:
            keys.extend(self._late.popleft().keys())
        return keys
