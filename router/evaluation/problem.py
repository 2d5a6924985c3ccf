"""What a policy is run on: arrivals in order, budgets, estimates, and (hidden) outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.arrays import Bools, Floats, Ints
from router.evaluation.datasets import Dataset
from router.evaluation.estimates import OfflineEstimates
from router.models.catalog import ModelCatalog
from router.pricing.coverage import Coverage

REQUESTS = 1
"""The unit of limits that count queries; unit 0 is money."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the models that take queries.

    Attributes:
        after: Number of the first arrival it applies to.
        models: Numbers of exactly the models that take queries from there on.
    """

    after: int
    models: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """n arrivals for M models, under R limits.

    Attributes:
        catalog: The models.
        ids: n query ids.
        tasks: n names of tasks.
        limits: int64[R] nano-units, or requests.
        scores: float64[n, M], true scores.
        costs: int64[n, M] nano-units, true costs.
        known: bool[n, M], where an outcome was recorded. Elsewhere a query cannot be sent, as
            nobody could say what came of it.
        estimates: Returns the estimates of these arrivals, by kind.
        changes: Of the models, in order.
        given: What limits cover, unit 0 being money and unit 1 requests; None for one money limit
            a model.
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
    given: Coverage | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def coverage(self) -> Coverage:
        """What the limits cover."""
        return self.given or Coverage.per_model(self.catalog.names)

    def amounts(self, costs: NDArray[Any]) -> list[NDArray[Any]]:
        """Return what pairs of query and model draw, a table [n, M] of `costs`' type a unit."""
        if not (self.coverage.unit == REQUESTS).any():
            return [costs]
        return [costs, np.ones_like(costs)]

    def available(self) -> Bools:
        """Return bool[n, M], where arrivals can be sent at all, changes of the models included."""
        available = self.known.copy()
        for change in self.changes:
            away = np.setdiff1d(np.arange(len(self.catalog)), np.array(change.models, dtype=int))
            available[change.after :] = self.known[change.after :]
            available[change.after :, away] = False
        return available

    def reordered(self, order: Ints) -> Problem:
        """Return the problem with its arrivals in another order.

        Args:
            order: int64[m] rows, a permutation or a part of one.
        """
        return replace(
            self,
            ids=[self.ids[row] for row in order],
            tasks=[self.tasks[row] for row in order],
            scores=self.scores[order],
            costs=self.costs[order],
            known=self.known[order],
            estimates=lambda kind: self.estimates(kind).take(order),
        )


def make_problem(
    queries: Dataset,
    limits: Ints,
    estimates: Callable[[str], OfflineEstimates],
    given: Coverage | None = None,
) -> Problem:
    """Make a problem of a dataset's arrivals, in its order, with costs rounded up.

    Args:
        queries: The arrivals and their outcomes.
        limits: int64[R] nano-units, or requests.
        estimates: Returns estimates of the arrivals, by kind.
        given: What limits cover; None for one money limit a model.
    """
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
        given=given,
    )
