"""When prices are due again, and how much of a window has come: both by the arrivals."""

from __future__ import annotations

ANOTHER = 2.0
"""So many times the arrivals expected before are expected where another window has begun."""


class Pace:
    """Counts arrivals between two solutions, and since the window began."""

    def __init__(self, every: int, parts: int) -> None:
        """Begin with a solution due.

        Args:
            every: Arrivals between two solutions.
            parts: Solutions, at least, over the arrivals of a window.
        """
        self._every = every
        self._parts = parts
        self._unsolved = every
        self._seen = 0
        self._whole = self._to_come = 0.0

    def count(self, arrivals: int) -> None:
        """Count arrivals, or those that are seen of them."""
        self._unsolved += arrivals
        self._seen += arrivals

    def outdate(self) -> None:
        """Have a solution be due, whatever has arrived."""
        self._unsolved = self._every

    def expect(self, to_come: float) -> None:
        """Take in how many arrivals are still expected.

        If more are than before, another window has begun.
        """
        if to_come > ANOTHER * self._to_come:
            self._seen = 0
        if to_come > self._to_come:
            self._whole = to_come
        self._to_come = to_come

    @property
    def due(self) -> bool:
        """Whether `every` have arrived, or one of `parts` of the window where that is less.

        A part is of whole queries, rounded down: batches of so many would each be one too short
        otherwise, and only every second one lead to a solution.
        """
        part = self._whole // self._parts or self._whole / self._parts
        return self._unsolved >= min(self._every, part)

    def solved(self) -> None:
        """Count from here to the next solution."""
        self._unsolved = 0

    @property
    def came(self) -> float:
        """Arrivals of the window so far, ≥ 1: those expected of it less those to come, or those
        seen where that is more."""
        return max(self._whole - self._to_come, float(self._seen), 1.0)
