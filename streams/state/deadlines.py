"""Deadlines of reservations: released when no result comes in time, charged if it comes late."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from streams.state.rows import Log, Row, RowHead, row_key, row_position

LATE = 86_400.0
"""Seconds after a decision for which a late result is still charged. Reservations of calls that a
worker has begun are held for as long."""


class DecisionRun(NamedTuple):
    """A run of offsets of one log that were decided at the same moment.

    `release_at` is 0 where no row says when its reservation ends.
    """

    decided_at: float
    log: Log
    first: int
    last: int
    release_at: float = 0.0

    def row_keys(self) -> Iterator[str]:
        """Yield the keys of its rows, finished ones included."""
        return (row_key(self.log, offset) for offset in range(self.first, self.last + 1))


class Deadlines:
    """The open decisions of a partition by run, oldest first: a few bytes per run of any length."""

    def __init__(self, rows: Iterable[tuple[str, Row | RowHead]] = ()) -> None:
        """Args:
        rows: Keys and rows that a partition is loaded with; overdue ones are kept for `LATE`.
        """
        self._open: deque[DecisionRun] = deque()
        self._late: deque[DecisionRun] = deque()
        routed = sorted(
            (row.receipt.decided_at, *row_position(key), row.is_overdue, row.release_at)
            for key, row in rows
            if row.receipt.decision == "routed"
        )
        for (moment, log, overdue, release_at), group in groupby(
            routed, lambda at: (at[0], at[1], at[3], at[4])
        ):
            offsets = [offset for _, _, offset, _, _ in group]
            run = DecisionRun(moment, log, offsets[0], offsets[-1], release_at)
            (self._late if overdue else self._open).append(run)

    def add(self, run: DecisionRun) -> None:
        """Add a run of decisions. Runs are added in the order in which they were decided."""
        self._open.append(run)

    def oldest_due(self, now: float, seconds: float) -> float | None:
        """Return when the first decision that is due (`due`) was taken; None where none is."""
        if self._open and self._ends(self._open[0], seconds) <= now:
            return self._open[0].decided_at
        return None

    def due(self, now: float, seconds: float, read: Callable[[str], Row | None]) -> dict[str, Row]:
        """Remove and return the open rows whose reservations end by `now`, by key.

        That is at `release_at`, or `seconds` after the decision where it is not known. Runs that
        are finished go for good: kept for `LATE`, those of a busy day would take a gigabyte.

        Args:
            now: Unix seconds.
            seconds: See above.
            read: Returns the row of a key, None where it is finished; a finished one stays so.
        """
        rows: dict[str, Row] = {}
        while self._open and self._ends(self._open[0], seconds) <= now:
            run = self._open.popleft()
            if found := {key: row for key in run.row_keys() if (row := read(key)) is not None}:
                rows |= found
                self._late.append(run)
        return rows

    def forgotten(self, now: float) -> list[str]:
        """Remove and return the keys of rows for which not even a late result is expected."""
        keys: list[str] = []
        while self._late and self._late[0].decided_at + LATE <= now:
            keys.extend(self._late.popleft().row_keys())
        return keys

    @staticmethod
    def _ends(run: DecisionRun, seconds: float) -> float:
        return run.release_at or run.decided_at + seconds
