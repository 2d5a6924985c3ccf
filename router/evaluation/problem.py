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
        lengths: float64[R], the arrivals in a window of each limit, inf where it has none; then
            `limits` are the amounts of each window. None where no limit has windows.
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
    lengths: Floats | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def coverage(self) -> Coverage:
        """What the limits cover."""
        return self.given or Coverage.per_model(self.catalog.names)

    @property
    def totals(self) -> Ints:
        """int64[R], what each limit allows in all of its windows."""
        return self.limits * (self._windows(np.array([max(len(self) - 1, 0)]))[:, 0] + 1)

    def begins(self) -> Bools:
        """Return bool[R, n], the arrivals with which another window of a limit begins."""
        number = self._windows(np.arange(len(self)))
        return np.diff(number, axis=1, prepend=0) > 0

    def expected(self, arrival: int) -> Floats:
        """Return float64[R], the arrivals from this one on that share what each limit holds."""
        n = len(self)
        if self.lengths is None:
            return np.full(len(self.limits), float(n - arrival))
        number = self._windows(np.array([min(arrival, n - 1)]))[:, 0]
        ends = np.where(np.isfinite(self.lengths), np.ceil((number + 1) * self.lengths), n)
        return np.minimum(ends, n) - float(arrival)

    def by_window(self) -> tuple[Coverage, Ints]:
        """Return a limit for each window of each limit, and their int64 amounts."""
        if self.lengths is None:
            return self.coverage, self.limits
        number = self._windows(np.arange(len(self)))
        pairs = [(r, w) for r, row in enumerate(number) for w in range(int(row[-1]) + 1)]
        limit = np.array([r for r, _ in pairs], dtype=np.int64)
        coverage = Coverage(
            tuple(f"{self.coverage.names[r]} {w}" for r, w in pairs),
            self.coverage.unit[limit],
            self.coverage.models[limit],
            np.array([number[r] == w for r, w in pairs], dtype=np.bool_),
        )
        return coverage, self.limits[limit]

    def _windows(self, arrivals: Ints) -> Ints:
        """Return int64[R, m], the number of the window that each of int64[m] arrivals is in."""
        if self.lengths is None:
            return np.zeros((len(self.limits), len(arrivals)), dtype=np.int64)
        # An arrival that stands on an edge but for a rounding error is behind it.
        return np.floor(arrivals / self.lengths[:, None] + 1e-9).astype(np.int64)

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
    lengths: Floats | None = None,
) -> Problem:
    """Make a problem of a dataset's arrivals, in its order, with costs rounded up.

    Args:
        queries: The arrivals and their outcomes.
        limits: int64[R] nano-units, tokens or requests.
        estimates: Returns estimates of the arrivals, by kind.
        given: What limits cover; None for one money limit a model.
        tokens_per_cost: float64[M], tokens a nano-unit over the history.
        lengths: float64[R], the arrivals in a window of each limit; None where none has windows.

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
        lengths=lengths,
    )
