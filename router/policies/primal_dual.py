"""Primal-dual: the model whose estimated quality most exceeds its price (Sluice's default)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from router.arrays import Floats, Ints
from router.fleet import Fleet
from router.policies.base import NONE, Batch, Decisions, Policy
from router.policies.reserve import reserve_in_order
from router.prices import dual_prices


class PrimalDual(Policy):
    """argmax_i d̂_ij − γ_i·ĝ_ij where that is positive; the next best where there is no room.

    The prices γ come from the linear program over a window of recent estimates, with the
    remaining budget over the expected remaining arrivals (Agrawal-Wang-Ye 2014; Li-Ye 2022),
    solved again every `every` arrivals. The window starts filled with the history's leave-one-out
    estimates, so that no query is spent on a warm-up, and a part of them stays: what comes now
    need not be what will come.
    """

    name = "primal-dual"
    estimator = "best"

    def __init__(
        self, fleet: Fleet, every: int = 250, window: int = 2000, stays: float = 0.75
    ) -> None:
        """every: arrivals between two solutions; window: estimates that a solution looks at;
        stays: the part of the window that the history keeps."""
        super().__init__(fleet)
        self.every = every
        self.window = window
        self.stays = stays
        self.version = 0
        self.gamma: Floats = np.zeros(len(fleet))
        self._quality: Floats = np.empty((0, len(fleet)))
        self._cost: Floats = np.empty((0, len(fleet)))
        self._pinned = 0  # rows of the window, the first ones, that no arrival pushes out
        self._unsolved = every

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Score, then reserve in order of arrival."""
        score = np.where(batch.allowed, batch.quality - self.gamma * batch.cost, -np.inf)
        score[np.isnan(score)] = -np.inf
        chosen = reserve_in_order(score, batch.bound, free)
        top = score.max(axis=1, initial=-np.inf)
        rows = np.arange(len(chosen))
        first = (chosen != NONE) & (score[rows, chosen] == top)
        reason = np.select(
            [first, chosen != NONE, top > 0, batch.allowed.any(axis=1)],
            ["best", "next_best", "no_budget", "not_worth"],
            "not_allowed",
        )
        wished = np.where(top > 0, score.argmax(axis=1), NONE)
        return Decisions(chosen, reason.tolist(), np.ones(len(chosen)), self.version, wished)

    def warm_start(self, quality: Floats, cost: Floats) -> None:
        """Fill the window with an even sample of the history."""
        rows = _even(len(quality), self.window)
        first = _even(len(rows), int(self.stays * self.window))
        rows = np.concatenate([rows[first], np.delete(rows, first)])
        self._quality, self._cost = quality[rows], cost[rows]
        self._pinned = len(first)

    def observe(self, quality: Floats, cost: Floats) -> None:
        """Let arrivals push the oldest estimates out of the window."""
        self._see(quality, cost)
        self._unsolved += len(quality)

    def plan(self, remaining: Ints, expected: float) -> bool:
        """Solve the program over the window for the budget that is left."""
        if self._unsolved < self.every or expected <= 0 or len(self._quality) == 0:
            return False
        share = len(self._quality) / expected
        budget = np.maximum(remaining, 0) * share
        near = self.gamma if self.version else None
        self.gamma = dual_prices(self._quality, self._cost, budget, near)
        self.version += 1
        self._unsolved = 0
        return True

    def registry(self, fleet: Fleet) -> None:
        """Keep window and prices of the models that stay; solve again at the next `plan`."""
        before = [self.fleet.index.get(name, -1) for name in fleet.names]
        if -1 in before:  # the history does not know it: it must not stay for ever
            self._pinned = 0
        self._quality = _columns(self._quality, before, -np.inf)
        self._cost = _columns(self._cost, before, 0.0)
        # A newcomer costs what the dearest does until the next solution.
        self.gamma = _columns(self.gamma[None], before, self.gamma.max(initial=0.0))[0]
        self.fleet = fleet
        self._unsolved = self.every

    def snapshot(self) -> dict[str, Any]:
        """The prices by model, and their version."""
        prices = dict(zip(self.fleet.names, self.gamma.tolist(), strict=True))
        return {"version": self.version, "prices": prices}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take over prices; a model they do not name costs what the dearest does."""
        version, prices = snapshot.get("version"), snapshot.get("prices")
        if not isinstance(version, int) or not isinstance(prices, Mapping):
            raise ValueError("a primal-dual snapshot holds a version and prices by model")
        dearest = max(prices.values(), default=0.0)
        gamma = np.array([prices.get(name, dearest) for name in self.fleet.names], np.float64)
        if not (np.isfinite(gamma) & (gamma >= 0)).all():
            raise ValueError(f"prices must be finite and at least 0: {dict(prices)}")
        self.version, self.gamma = version, gamma

    def _see(self, quality: Floats, cost: Floats) -> None:
        self._quality = self._pushed(self._quality, quality)
        self._cost = self._pushed(self._cost, cost)

    def _pushed(self, window: Floats, arrived: Floats) -> Floats:
        moving = np.concatenate([window[self._pinned :], arrived])
        room = self.window - self._pinned
        return np.concatenate([window[: self._pinned], moving[max(len(moving) - room, 0) :]])


def _even(count: int, most: int) -> Ints:
    """int64[min(count, most)] rows spread evenly over `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _columns(values: Floats, sources: list[int], missing: float) -> Floats:
    """The columns of `values` named by number, `missing` where the number is -1."""
    padded = np.concatenate([values, np.full((len(values), 1), missing)], axis=1)
    return padded[:, sources]
