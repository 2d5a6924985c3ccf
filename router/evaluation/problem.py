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

TOKENS, REQUESTS = 1, 2
"""The units of limits that count tokens or queries; unit 0 is money."""


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
        limits: int64[R] nano-units, tokens or requests.
        scores: float64[n, M], true scores.
        costs: int64[n, M] nano-units, true costs.
        known: bool[n, M], where an outcome was recorded. Elsewhere a query cannot be sent, as
            nobody could say what came of it.
        estimates: Returns the estimates of these arrivals, by kind.
        changes: Of the models, in order.
        given: What limits cover; None for one money limit a model.
        tokens: int64[n, M], the true tokens of prompt and answer; needed where a limit counts them.
        tokens_per_cost: float64[M], tokens a nano-unit over the history.
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
    tokens: Ints | None = None
    tokens_per_cost: Floats | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def coverage(self) -> Coverage:
        """What the limits cover."""
        return self.given or Coverage.per_model(self.catalog.names)

    def amounts(self, costs: NDArray[Any], columns: Ints | None = None) -> list[NDArray[Any]]:
        """Return what pairs of query and model will probably draw, a table a unit.

        Args:
            costs: [n, m], estimated.
            columns: int64[m], the models of the m columns; None for all.
        """
        if not self.coverage.unit.any():
            return [costs]
        tokens = costs * 0
        if self.tokens_per_cost is not None:
            rate = self.tokens_per_cost if columns is None else self.tokens_per_cost[columns]
            tokens = np.ceil(costs * rate).astype(costs.dtype)
        return [costs, tokens, np.ones_like(costs)]

    def true_amounts(self) -> list[Ints]:
        """Return what pairs of query and model draw, int64[n, M] a unit."""
        if not self.coverage.unit.any():
            return [self.costs]
        tokens = np.zeros_like(self.costs) if self.tokens is None else self.tokens
        return [self.costs, tokens, np.ones_like(self.costs)]

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
            tokens=None if self.tokens is None else self.tokens[order],
            estimates=lambda kind: self.estimates(kind).take(order),
        )


def make_problem(
    queries: Dataset,
    limits: Ints,
    estimates: Callable[[str], OfflineEstimates],
    given: Coverage | None = None,
    tokens_per_cost: Floats | None = None,
) -> Problem:
    """Make a problem of a dataset's arrivals, in its order, with costs rounded up.

    Args:
        queries: The arrivals and their outcomes.
        limits: int64[R] nano-units, tokens or requests.
        estimates: Returns estimates of the arrivals, by kind.
        given: What limits cover; None for one money limit a model.
        tokens_per_cost: float64[M], tokens a nano-unit over the history.

    Raises:
        ValueError: A limit counts tokens, and the outcomes do not tell them.
    """
    counted = [] if given is None else np.flatnonzero(given.unit == TOKENS).tolist()
    if given is not None and counted and queries.tokens is None:
        raise ValueError(
            f"the limit {given.names[counted[0]]!r} counts tokens, and the outcomes do not tell "
            'them: every line needs "tokens": {model: number}'
        )
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
        tokens=None
        if queries.tokens is None
        else np.ceil(np.where(known, queries.tokens, 0.0)).astype(np.int64),
        tokens_per_cost=tokens_per_cost,
    )
