"""What a partition gathers between two reports to the controller. Kept in memory only."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from router.arrays import Floats, Ints
from router.policies.floors import Floor

Told = TypeVar("Told")

SAMPLE_SIZE = 250
"""Estimates per report at most: the newest."""


class UnmetDemand:
    """Reservations that found no room since the last report, by account.

    The smallest one of those that wait is told until a pass has found room for it, or that it lacks
    none any more: a grant takes several reports, and what is told no longer is granted to others.
    """

    def __init__(self, accounts: int) -> None:
        """Args:
        accounts: Number of the ledger's accounts.
        """
        self.wanted = np.zeros(accounts, dtype=np.int64)
        self.smallest = np.zeros(accounts, dtype=np.int64)
        self._waiting: dict[int, int] = {}
        self._in_pass: dict[int, int] = {}

    def add(self, account: int, amount: int) -> None:
        """Record one reservation of `amount` nano-units that an account had no room for."""
        self.wanted[account] += amount
        before = self.smallest[account]
        self.smallest[account] = min(before, amount) if before else amount
        for smallest in (self._waiting, self._in_pass):
            smallest[account] = min(smallest.get(account, amount), amount)

    def begin_pass(self) -> None:
        """Begin to look at all that waits: what lacks room is added once more."""
        self._in_pass = {}

    def end_pass(self) -> None:
        """Forget what was not added since the pass began."""
        self._waiting = dict(self._in_pass)

    def fits(self, free: Ints) -> bool:
        """Return whether there is room now for something that waits. free: int64[A]."""
        return any(free[account] >= amount for account, amount in self._waiting.items())

    def grow(self, accounts: int) -> None:
        """Extend to a number of accounts; existing ones keep their numbers."""
        if accounts <= len(self.wanted):
            return
        more = (0, accounts - len(self.wanted))
        self.wanted, self.smallest = np.pad(self.wanted, more), np.pad(self.smallest, more)

    def any(self) -> bool:
        """Return whether anything is recorded."""
        return bool(self.wanted.any())

    def take(self) -> tuple[Ints, Ints]:
        """Return the sums and the smallest amounts, and reset the sums.

        Returns:
            int64[A] and int64[A], nano-units by account. Where nothing was added, but something
            waits, the sum is 1.
        """
        taken = self.wanted, self.smallest
        for account, amount in self._waiting.items():
            self.wanted[account] = max(self.wanted[account], 1)
            before = self.smallest[account]
            self.smallest[account] = min(before, amount) if before else amount
        self.wanted, self.smallest = np.zeros_like(self.wanted), np.zeros_like(self.smallest)
        return taken


class HeldBack:
    """Accounts that lacked room in some window for a query that may wait for the next one."""

    def __init__(self) -> None:
        self._windows: dict[int, int] = {}

    def add(self, account: int, window: int) -> None:
        """Record that an account had no room in a window; 0 is no window, which never ends."""
        if window:
            self._windows.setdefault(account, window)

    def has_ended(self, begins: Ints) -> bool:
        """Return whether a window that held queries back has ended.

        Args:
            begins: int64[A], the begin of each account's window now.
        """
        return any(begins[account] > window for account, window in self._windows.items())

    def clear(self) -> None:
        """Forget all: the queries that wait are looked at again."""
        self._windows.clear()


class ArrivalSample:
    """The newest estimates of a partition's arrivals since the last report."""

    def __init__(self) -> None:
        self._chunks: list[list[Floats]] = []
        self._tenants: list[str | None] = []
        self._floors: list[Floor] = []
        self._count = 0

    def add(
        self,
        tables: Sequence[Floats],
        tenants: Sequence[str | None],
        floors: Sequence[Floor] = (),
    ) -> None:
        """Add the estimates of a chunk.

        Args:
            tables: float64[n, M] each: estimated scores, costs (nano-units) and, where a limit
                counts them, tokens.
            tenants: Of the n queries; None for nobody.
            floors: Of the n queries; empty where the policy keeps none.
        """
        self._chunks.append([table[-SAMPLE_SIZE:] for table in tables])
        self._tenants = [*self._tenants, *tenants][-SAMPLE_SIZE:]
        self._floors = [*self._floors, *floors][-SAMPLE_SIZE:]
        self._count += len(self._chunks[-1][0])
        while self._count - len(self._chunks[0][0]) >= SAMPLE_SIZE:
            self._count -= len(self._chunks.pop(0)[0])

    def take(self) -> tuple[list[Floats], list[str | None], list[Floor]]:
        """Return the sample and reset it.

        Returns:
            As `add` takes them, with n at most `SAMPLE_SIZE`.
        """
        tables = [np.concatenate(each)[-SAMPLE_SIZE:] for each in zip(*self._chunks, strict=True)]
        tenants, floors = self._tenants, self._floors
        self._chunks, self._tenants, self._floors, self._count = [], [], [], 0
        return tables or [np.empty((0, 0))] * 2, tenants, floors


class Newest(Generic[Told]):
    """What the newest answers since the last report tell, of those that have been settled."""

    def __init__(self) -> None:
        self._told: deque[Told] = deque(maxlen=SAMPLE_SIZE)

    def add(self, told: Told) -> None:
        """Add what one answer tells."""
        self._told.append(told)

    def take(self) -> list[Told]:
        """Return all, and reset it."""
        taken = list(self._told)
        self._told.clear()
        return taken
