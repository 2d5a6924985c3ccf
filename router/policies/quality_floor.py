"""Quality floor: the least cost at which answers score at least so much on average."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from router.arrays import Bools, Floats, Ints, even_rows
from router.models.catalog import ModelCatalog
from router.policies.base import Batch, Decisions, Policy
from router.policies.floors import PARTS, Floor
from router.policies.reserve import best_first

STEP = 0.05
"""The part of its first value by which a point of quality missed raises the worth of a point."""
TRIED = 400
"""Worths that are tried on the history, at equal ratios."""
MOST = 1000
"""Virtual queues that are kept: those that were used last."""


class QualityFloor(Policy):
    """Sends each query to the model of least cost net of what its quality is worth.

    argmax_i w·d̂_ij − c_ij, where w ≥ 0, in nano-units, is what a point of quality is worth to
    queries of the same floor τ. After each arrival of a floor w ← max(0, w + s·(τ − d̂_j)), with d̂_j
    the estimate of the model chosen: the virtual queue of MESS+ (arXiv 2505.19947), which chooses
    argmin_i V·c_ij + Q·(τ − d̂_ij), with w = Q/V. Each floor has its own queue.

    The first w is the least at which the choices on a sample of the history reach τ. Where τ cannot
    be reached, w grows, and choices tend to the best model for each query. Limits always hold:
    where one has no room the next best model answers, and where none has, the query waits; then it
    is the floor that gives way.
    """

    name = "quality-floor"
    estimator = "best"
    resumes = True

    def __init__(
        self, catalog: ModelCatalog, floor: float = 0.8, every: int = 250, window: int = 2000
    ) -> None:
        """Start with a worth of 0: the cheapest model.

        Args:
            catalog: The models.
            floor: τ, the mean score to reach for queries that do not say.
            every: Arrivals between two published worths.
            window: Queries in the sample of the history.
        """
        super().__init__(catalog)
        self.floor = Floor(floor)
        self.version = 0
        self.worths: dict[str, float] = {}
        """By floor, as published; a floor that has none begins with its first worth."""
        self._next: dict[str, float] = {}  # after all arrivals seen
        self._first: list[float] = []  # by floor, in parts of 1/PARTS; empty before any history
        self._step = 0.0  # of a floor whose first worth is 0; 0 before anything is seen
        self._every = every
        self._window = window
        self._unpublished = every

    @property
    def worth(self) -> float:
        """The worth of a point of quality to queries that do not say their floor."""
        return self._worth(self.worths, self.floor)

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Rank the models of each query, then reserve in order of arrival."""
        worth: float | Floats = self.worth
        if batch.floors is not None:
            own = [self._worth(self.worths, floor) for floor in batch.floors]
            worth = np.array(own, np.float64)[:, None]
        net = worth * batch.quality - batch.cost
        open_to = batch.allowed & np.isfinite(net)
        least = np.where(open_to, net, np.inf).min(axis=1, initial=np.inf, keepdims=True)
        # Every model may answer, however little it is worth: scores start at 1.
        score = np.full(net.shape, -np.inf)
        np.subtract(net, least - 1.0, out=score, where=open_to)
        return best_first(score, batch, free, self.version)

    def warm_start(self, quality: Floats, cost: Floats, *others: Floats) -> None:
        """Find the least worths at which choices on the history reach each floor."""
        rows = even_rows(len(quality), self._window)
        if len(rows) and len(self.catalog):
            self._first = least_worths(quality[rows], cost[rows]).tolist()
            self._step = STEP * float(np.nanmean(cost[rows]))

    def observe(
        self,
        quality: Floats,
        cost: Floats,
        *others: Floats,
        queries: Bools | None = None,
        floors: Sequence[Floor] | None = None,
    ) -> None:
        """Move each floor's worth by what each choice lacks of the floor, or has above it."""
        self._unpublished += len(quality)
        if not self._step:
            self.warm_start(quality, cost)
            return
        asked = [self.floor] * len(quality) if floors is None else floors
        for scores, costs, floor in zip(quality, cost, asked, strict=True):
            worth = self._worth(self._next, floor)
            net = worth * scores - costs
            net[~np.isfinite(net)] = -np.inf
            if len(net) and np.isfinite(net).any():
                worth += self._step_of(floor) * (floor.value - float(scores[net.argmax()]))
            self._next.pop(floor.name, None)
            self._next[floor.name] = max(0.0, worth)  # the last one is the newest

    def outdate(self) -> None:
        """Have the next `plan` publish."""
        self._unpublished = self._every

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        """Publish the worths, if enough queries have arrived since the last time."""
        if self._unpublished < self._every or not self._step:
            return False
        self._next = dict(list(self._next.items())[-MOST:])
        self.worths = dict(self._next)
        self.version += 1
        self._unpublished = 0
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return what a point of quality is worth by floor, and to floors that nobody had yet.

        `floor` and `worth` are the usual ones, for readers.
        """
        return {
            "version": self.version,
            "worths": dict(self.worths),
            "first": list(self._first),
            "step": self._step,
            "floor": self.floor.value,
            "worth": self.worth,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace all worths; the usual floor stays this policy's own.

        Raises:
            ValueError: The snapshot lacks a version or a step, or a number is negative or not
                finite.
        """
        worths, first = snapshot.get("worths"), snapshot.get("first")
        if not isinstance(worths, Mapping) or not isinstance(first, list):
            raise ValueError("a quality-floor snapshot holds worths by floor")
        numbers = [snapshot.get("version"), snapshot.get("step"), *worths.values(), *first]
        sound = all(isinstance(one, int | float) and 0 <= one < np.inf for one in numbers)
        if not sound or len(first) not in (0, PARTS + 1):
            raise ValueError("a quality-floor snapshot holds a version, a step and worths")
        self.version = int(snapshot["version"])
        self.worths = {Floor.parse(name).name: float(worth) for name, worth in worths.items()}
        self._next = dict(self.worths)
        self._first = [float(worth) for worth in first]
        self._step = float(snapshot["step"])

    def _worth(self, known: Mapping[str, float], floor: Floor) -> float:
        found = known.get(floor.name)
        return self._first_worth(floor) if found is None else found

    def _first_worth(self, floor: Floor) -> float:
        """Return the first worth of a floor, that of the next multiple of 1/PARTS."""
        if not self._first:
            return 0.0
        return self._first[math.ceil(round(floor.value * PARTS, 6))]

    def _step_of(self, floor: Floor) -> float:
        return STEP * self._first_worth(floor) or self._step


def least_worths(quality: Floats, cost: Floats) -> Floats:
    """Return the least w at which the models argmax_i w·d_ij − c_ij score at least τ on average.

    Mean quality never falls as w grows. Where even the best models stay below a floor, the result
    is a w at which nearly all of these are chosen. It is 0, or at most 5 % too high.

    Args:
        quality: float64[n, M].
        cost: float64[n, M], nano-units.

    Returns:
        float64[PARTS + 1], for τ of 0, 1/PARTS, … 1.
    """
    known = np.isfinite(quality) & np.isfinite(cost)
    scores, costs = np.where(known, quality, 0.0), np.where(known, cost, np.inf)
    highest = 100.0 * float(cost[known].max(initial=1.0))
    worths = np.append(0.0, np.geomspace(highest * 1e-8, highest, TRIED))
    rows = np.arange(len(scores))
    reached = [scores[rows, (worth * scores - costs).argmax(axis=1)].mean() for worth in worths]
    floors = np.arange(PARTS + 1) / PARTS
    found: Floats = worths[
        np.minimum(np.searchsorted(np.maximum.accumulate(reached), floors - 1e-9), TRIED)
    ]
    return found
