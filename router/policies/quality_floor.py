"""Quality floor: the least cost at which answers score at least so much on average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from router.arrays import Bools, Floats, Ints, even_rows
from router.models.catalog import ModelCatalog
from router.policies.base import Batch, Decisions, Policy
from router.policies.reserve import best_first

STEP = 0.05
"""The part of its first value by which a point of quality missed raises the worth of a point."""
HALVINGS = 60


class QualityFloor(Policy):
    """Sends each query to the model of least cost net of what its quality is worth.

    argmax_i w·d̂_ij − c_ij, where w ≥ 0, in nano-units, is what a point of quality is worth. After
    each arrival w ← max(0, w + s·(τ − d̂_j)), with d̂_j the estimate of the model chosen: the virtual
    queue of MESS+ (arXiv 2505.19947), which chooses argmin_i V·c_ij + Q·(τ − d̂_ij), with w = Q/V.

    The first w is the least at which the choices on a sample of the history reach τ. Where τ cannot
    be reached, w grows, and choices tend to the best model for each query. Limits always hold:
    where one has no room the next best model answers, and where none has, the query waits; then it
    is the floor that gives way.
    """

    name = "quality-floor"
    estimator = "best"

    def __init__(
        self, catalog: ModelCatalog, floor: float = 0.8, every: int = 250, window: int = 2000
    ) -> None:
        """Start with a worth of 0: the cheapest model.

        Args:
            catalog: The models.
            floor: τ, the mean score to reach.
            every: Arrivals between two published worths.
            window: Queries in the sample of the history.
        """
        super().__init__(catalog)
        self.floor = floor
        self.every = every
        self.window = window
        self.version = 0
        self.worth = 0.0
        self._next = 0.0  # the worth after all arrivals seen
        self._step = 0.0  # 0 before anything is seen
        self._unpublished = every

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Rank the models of each query, then reserve in order of arrival."""
        net = self.worth * batch.quality - batch.cost
        open_to = batch.allowed & np.isfinite(net)
        least = np.where(open_to, net, np.inf).min(axis=1, initial=np.inf, keepdims=True)
        # Every model may answer, however little it is worth: scores start at 1.
        score = np.full(net.shape, -np.inf)
        np.subtract(net, least - 1.0, out=score, where=open_to)
        return best_first(score, batch, free, self.version)

    def warm_start(self, quality: Floats, cost: Floats, *others: Floats) -> None:
        """Find the least worth at which choices on the history reach the floor."""
        rows = even_rows(len(quality), self.window)
        if len(rows) and len(self.catalog):
            self._next = least_worth(quality[rows], cost[rows], self.floor)
            self._step = STEP * (self._next or float(cost[rows].mean()))

    def observe(
        self, quality: Floats, cost: Floats, *others: Floats, queries: Bools | None = None
    ) -> None:
        """Move the worth by what each arrival's choice lacks of the floor, or has above it."""
        self._unpublished += len(quality)
        if not self._step:
            self.warm_start(quality, cost)
            return
        for scores, costs in zip(quality, cost, strict=True):
            net = self._next * scores - costs
            net[~np.isfinite(net)] = -np.inf
            if len(net) and np.isfinite(net).any():
                self._next += self._step * (self.floor - float(scores[net.argmax()]))
                self._next = max(0.0, self._next)

    def outdate(self) -> None:
        """Have the next `plan` publish."""
        self._unpublished = self.every

    def plan(self, remaining: Ints, expected: float | Floats) -> bool:
        """Publish the worth, if enough queries have arrived since the last time."""
        if self._unpublished < self.every or not self._step:
            return False
        self.worth = self._next
        self.version += 1
        self._unpublished = 0
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return the worth of a point of quality, its step, its version, and the floor.

        The floor is for readers: routers need the worth alone, and a controller keeps its own.
        """
        return {
            "version": self.version,
            "worth": self.worth,
            "step": self._step,
            "floor": self.floor,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the worth and its step; the floor stays this policy's own.

        Raises:
            ValueError: The snapshot lacks a version, a worth or a step, or one is negative or not
                finite.
        """
        found = [snapshot.get(name) for name in ("version", "worth", "step")]
        if not all(isinstance(one, int | float) and 0 <= one < np.inf for one in found):
            raise ValueError(f"a quality-floor snapshot holds a version, worth and step: {found}")
        self.version = int(snapshot["version"])
        self.worth = self._next = float(snapshot["worth"])
        self._step = float(snapshot["step"])


def least_worth(quality: Floats, cost: Floats, floor: float) -> float:
    """Return the least w ≥ 0 at which the models argmax_i w·d_ij − c_ij score `floor` on average.

    Mean quality never falls as w grows, so the interval is halved. Where even the best models stay
    below the floor, the result is a w at which nearly all of these are chosen.

    Args:
        quality: float64[n, M].
        cost: float64[n, M], nano-units.
        floor: τ.
    """
    known = np.isfinite(quality) & np.isfinite(cost)
    scores, costs = np.where(known, quality, 0.0), np.where(known, cost, np.inf)
    rows = np.arange(len(scores))

    def reaches(worth: float) -> bool:
        return bool(scores[rows, (worth * scores - costs).argmax(axis=1)].mean() >= floor)

    low, high = 0.0, 100.0 * float(cost[known].max(initial=1.0))
    if reaches(low):
        return 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
