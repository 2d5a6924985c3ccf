"""What a policy is put to: arrivals in order, budgets, estimates, and (unseen) outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.evaluation.datasets import Dataset
from router.evaluation.estimates import OfflineEstimates
from router.models.catalog import ModelCatalog


@dataclass(frozen=True, slots=True)
class Change:
    """From arrival number `after` on, exactly these models (by number) take queries."""

    after: int
    models: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """n arrivals, M models.

    limits: int64[M] nano-units; scores: float64[n, M]; costs: int64[n, M] nano-units, the true
    ones; known: bool[n, M], where an outcome was recorded (elsewhere a query cannot be sent, as
    nobody could say what came of it); estimates: by kind, for these arrivals.
    """

    catalog: ModelCatalog
    ids: Sequence[str]
    tasks: Sequence[str]
    limits: Ints
    scores: Floats
    costs: Ints
    known: Bools
    estimates: Callable[[str], OfflineEstimates]
    changes: tuple[Change, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def available(self) -> Bools:
        """bool[n, M]: where each arrival can be sent at all, changes of the fleet included."""
        available = self.known.copy()
        for change in self.changes:
            away = np.setdiff1d(np.arange(len(self.catalog)), np.array(change.models, dtype=int))
            available[change.after :] = self.known[change.after :]
            available[change.after :, away] = False
        return available

    def reordered(self, order: Ints) -> Problem:
        """The same with the arrivals in another order (a permutation, or a part of one)."""
        return replace(
            self,
            ids=[self.ids[row] for row in order],
            tasks=[self.tasks[row] for row in order],
            scores=self.scores[order],
            costs=self.costs[order],
            known=self.known[order],
            estimates=lambda kind: self.estimates(kind).take(order),
        )


def problem(
    queries: Dataset, limits: Ints, estimates: Callable[[str], OfflineEstimates]
) -> Problem:
    """The arrivals of a dataset, in its order. Costs are rounded up to whole nano-units."""
    known = np.isfinite(queries.scores) & np.isfinite(queries.costs)
    return Problem(
        catalog=queries.catalog(),
        ids=queries.ids,
        tasks=queries.tasks,
        limits=limits,
        scores=np.where(known, queries.scores, 0.0),
        costs=np.ceil(np.where(known, queries.costs, 0.0)).astype(np.int64),
        known=known,
        estimates=estimates,
    )
