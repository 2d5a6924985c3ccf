"""What a partition gathers between two reports to the controller. Kept in memory only."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints

SAMPLE_SIZE = 250
"""Estimates per report at most: the newest."""


class UnmetDemand:
    """Reservations that found no room since the last report, by account."""

    def __init__(self, accounts: int) -> None:
        """Args:
        accounts: Number of the ledger's accounts.
        """
        self.wanted = np.zeros(accounts, dtype=np.int64)
        self.smallest = np.zeros(accounts, dtype=np.int64)

    def add(self, account: int, amount: int) -> None:
        """Record one reservation of `amount` nano-units that an account had no room for."""
        self.wanted[account] += amount
        before = self.smallest[account]
        self.smallest[account] = min(before, amount) if before else amount

    def grow(self, accounts: int) -> None:
        """Extend to a number of accounts; existing ones keep their numbers."""
        more = (0, max(accounts - len(self.wanted), 0))
        self.wanted, self.smallest = np.pad(self.wanted, more), np.pad(self.smallest, more)

    def any(self) -> bool:
        """Return whether anything is recorded."""
        return bool(self.wanted.any())

    def take(self) -> tuple[Ints, Ints]:
        """Return the sums and the smallest amounts, and reset both.

        Returns:
            int64[A] and int64[A], nano-units by account.
        """
        taken = self.wanted, self.smallest
        self.wanted, self.smallest = np.zeros_like(self.wanted), np.zeros_like(self.smallest)
        return taken


class ArrivalSample:
    """The newest estimates of a partition's arrivals since the last report."""

    def __init__(self) -> None:
        self._quality: list[Floats] = []
        self._cost: list[Floats] = []
        self._count = 0

    def add(self, quality: Floats, cost: Floats) -> None:
        """Add the estimates of a chunk.

        Args:
            quality: float64[n, M], estimated scores.
            cost: float64[n, M], estimated costs, nano-units.
        """
        self._quality.append(quality[-SAMPLE_SIZE:])
        self._cost.append(cost[-SAMPLE_SIZE:])
        self._count += len(self._quality[-1])
        while self._count - len(self._quality[0]) >= SAMPLE_SIZE:
            self._count -= len(self._quality.pop(0))
            self._cost.pop(0)

    def take(self) -> tuple[Floats, Floats]:
        """Return the sample and reset it.

        Returns:
            Quality and cost, float64[n, M] each, with n at most `SAMPLE_SIZE`.
        """
        if not self._quality:
            empty = np.empty((0, 0))
            return empty, empty
        quality = np.concatenate(self._quality)[-SAMPLE_SIZE:]
        cost = np.concatenate(self._cost)[-SAMPLE_SIZE:]
        self._quality, self._cost, self._count = [], [], 0
        return quality, cost
