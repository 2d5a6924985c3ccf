"""How far a partition is finished, when its records finish in any order."""

from __future__ import annotations

from collections import deque


class OffsetTracker:
    """The records of one partition that were taken and have not ended.

    Offsets are taken in ascending order (gaps are fine) and finish in any; what may be committed
    is the lowest that has not finished, so that a crash loses none.
    """

    def __init__(self) -> None:
        self._taken: deque[int] = deque()
        self._finished: set[int] = set()
        self._next: int | None = None

    def take(self, offset: int) -> None:
        """Begin a record."""
        self._taken.append(offset)

    def finish(self, offset: int) -> None:
        """End a record that was taken; a second time does nothing."""
        if not self._taken or offset < self._taken[0]:
            return
        self._finished.add(offset)
        while self._taken and self._taken[0] in self._finished:
            self._next = self._taken.popleft() + 1
            self._finished.remove(self._next - 1)

    def committable(self) -> int | None:
        """Return the offset to go on from after a crash, or None before anything has finished."""
        return self._next
