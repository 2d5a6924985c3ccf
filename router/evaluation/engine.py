"""The offline engine: one policy on one problem, in order of arrival (the paper's protocol).

For each batch the policy decides on estimates; then the true costs are charged. A query whose true
cost no longer fits its model's budget is lost. Nothing looks at a query's own outcome before it is
decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.evaluation.estimates import OfflineEstimates
from router.evaluation.problem import Change, Problem
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Batch, Decisions, Policy
from router.pricing.coverage import Coverage

BATCH = 256
"""Arrivals decided at once, as in the paper's code, where there are many."""
BATCHES = 16
"""Batches at least: of few arrivals, the first batch alone could otherwise spend all the money."""


@dataclass(slots=True)
class Run:
    """What came of a policy on a problem of n queries.

    Attributes:
        model: int64[n], the model chosen; NONE where none was.
        reason: n keys of `policies.base.REASONS`.
        served: bool[n], sent and paid.
        version: int64[n], of the prices used.
        spent: int64[batches, M] nano-units, after each batch.
        prices: float64[1 + batches, M], before the first batch and after each; NaN where a policy
            has none.
        performance: Sum of the served queries' scores.
        cost: Nano-units spent.
    """

    model: Ints
    reason: list[str]
    served: Bools
    version: Ints
    spent: Ints
    prices: Floats
    performance: float = 0.0
    cost: int = 0

    @property
    def count(self) -> int:
        """Number of queries served."""
        return int(self.served.sum())

    @property
    def lost(self) -> int:
        """Number of queries sent to a model whose budget could not pay for the answer."""
        return int(((self.model != NONE) & ~self.served).sum())

    @property
    def deferred(self) -> int:
        """Number of queries that the policy sent nowhere."""
        return int((self.model == NONE).sum())

    def record(self, rows: Ints, chosen: Ints, decisions: Decisions) -> None:
        """Write down the decisions on int64[m] rows, in order, with the models of all chosen."""
        self.model[rows] = chosen
        self.reason.extend(decisions.reason)
        self.version[rows] = decisions.version


def run(policy: Policy, problem: Problem, batch: int | None = None) -> Run:
    """Run a policy on a problem.

    Args:
        policy: A fresh instance, for the problem's catalog.
        problem: Arrivals, budgets, estimates and outcomes.
        batch: Arrivals decided at once; by default `BATCH`, or fewer, so that there are `BATCHES`.
    """
    estimates = problem.estimates(policy.estimator)
    if problem.coverage.shared_by_models:
        estimates = estimates.careful()
    n, everyone = len(problem), np.arange(len(problem.catalog))
    batch = batch or min(BATCH, max(1, n // BATCHES))
    budget = _Budget(problem)
    result = _empty(n, len(problem.limits))
    spent_trace: list[Ints] = []
    # Before a model joins, a policy has not heard of it; it sees only the columns of its catalog.
    columns = _members(problem.changes, 0, everyone)
    coverage, kept = problem.coverage.of_models(columns)
    if problem.given is not None or len(columns) < len(everyone):
        policy.set_catalog(_part(problem.catalog, columns), coverage)
    _warm_start(policy, problem, estimates, columns)
    policy.plan(problem.limits[kept], problem.expected(0)[kept])
    price_trace = [_prices(policy, problem.coverage.names)]

    for rows in _cuts(n, batch, [change.after for change in problem.changes] + budget.edges):
        members = _members(problem.changes, int(rows[0]), everyone)
        if not np.array_equal(members, columns):
            columns = members
            coverage, kept = problem.coverage.of_models(columns)
            policy.set_catalog(_part(problem.catalog, columns), coverage)
            policy.plan(budget.left[kept], problem.expected(int(rows[0]))[kept])
        arrivals = _arrivals(problem, estimates, rows, columns, coverage)
        decisions = policy.route(arrivals, budget.left[kept])
        chosen = np.where(decisions.model == NONE, NONE, columns[decisions.model])
        result.record(rows, chosen, decisions)
        budget.charge(rows, chosen, result)
        _tell(policy, arrivals, problem, estimates, rows[result.served[rows]], result.model)
        following = int(rows[-1]) + 1
        if budget.advance(following):
            policy.outdate()
        policy.plan(budget.left[kept], problem.expected(following)[kept])
        spent_trace.append(budget.spent.copy())
        price_trace.append(_prices(policy, problem.coverage.names))

    result.spent = np.array(spent_trace, dtype=np.int64).reshape(-1, len(problem.limits))
    result.prices = np.array(price_trace, dtype=np.float64)
    return result


def settle(problem: Problem, chosen: Ints) -> Run:
    """Charge decisions that are already taken.

    Args:
        problem: Arrivals, budgets and outcomes.
        chosen: int64[n] models, NONE for none.
    """
    n, limits = len(problem), len(problem.limits)
    budget = _Budget(problem)
    result = _empty(n, limits)
    result.model[:] = chosen
    result.reason = ["not_worth" if model == NONE else "best" for model in chosen]
    for rows in _cuts(n, max(n, 1), budget.edges):
        budget.advance(int(rows[0]))
        budget.charge(rows, chosen[rows], result)
    result.spent = budget.spent[None, :]
    result.prices = np.full((1, limits), np.nan)
    return result


def _empty(n: int, limits: int) -> Run:
    return Run(
        model=np.full(n, NONE, dtype=np.int64),
        reason=[],
        served=np.zeros(n, dtype=np.bool_),
        version=np.zeros(n, dtype=np.int64),
        spent=np.zeros((0, limits), dtype=np.int64),
        prices=np.zeros((0, limits)),
    )


def _part(catalog: ModelCatalog, columns: Ints) -> ModelCatalog:
    """Return the models of these numbers."""
    return ModelCatalog(catalog.models[i] for i in columns)


def _arrivals(
    problem: Problem, estimates: OfflineEstimates, rows: Ints, columns: Ints, coverage: Coverage
) -> Batch:
    """Return these arrivals as a policy sees them that knows these models and limits."""
    part = np.ix_(rows, columns)
    cost, *amounts = problem.amounts(estimates.cost[part], columns)
    bound, *bounds = (np.maximum(np.ceil(table), 0).astype(np.int64) for table in (cost, *amounts))
    return Batch(
        ids=[problem.ids[row] for row in rows],
        quality=estimates.quality[part],
        cost=cost,
        bound=bound,
        allowed=problem.known[part],
        coverage=coverage,
        other_amounts=amounts,
        other_bounds=bounds,
    )


class _Budget:
    """What a run has spent of each limit, window by window.

    Attributes:
        spent: int64[R], since the first arrival.
        edges: Arrivals with which another window of some limit begins.
    """

    def __init__(self, problem: Problem) -> None:
        self.spent: Ints = np.zeros(len(problem.limits), dtype=np.int64)
        self._problem = problem
        self._begins = problem.begins()
        self.edges = [int(arrival) for arrival in np.flatnonzero(self._begins.any(axis=0))]
        self._before = self.spent.copy()  # spent when each limit's window began

    @property
    def left(self) -> Ints:
        """int64[R], what the present window of each limit still holds."""
        return self._problem.limits - (self.spent - self._before)

    def advance(self, arrival: int) -> bool:
        """Begin the windows that begin with this arrival; whether there are any."""
        if arrival >= len(self._problem):
            return False
        begins = self._begins[:, arrival]
        self._before[begins] = self.spent[begins]
        return bool(begins.any())

    def charge(self, rows: Ints, chosen: Ints, result: Run) -> None:
        """Pay for each answer in order of arrival, as far as every limit goes that covers it."""
        problem = self._problem
        sent = np.flatnonzero(chosen != NONE)
        query, model = rows[sent], chosen[sent]
        drawn = problem.coverage.drawn(query, model, problem.true_amounts())
        most = problem.limits + self._before
        for i, (row, column) in enumerate(zip(query.tolist(), model.tolist(), strict=True)):
            if (self.spent + drawn[:, i] <= most).all():
                self.spent += drawn[:, i]
                result.served[row] = True
                result.cost += int(problem.costs[row, column])
                result.performance += float(problem.scores[row, column])


def _warm_start(
    policy: Policy, problem: Problem, estimates: OfflineEstimates, columns: Ints
) -> None:
    """Show a policy the estimates of the history, for the models that it knows."""
    cost = estimates.warm_cost[:, columns]
    others = problem.amounts(cost, columns)[1:]
    policy.warm_start(estimates.warm_quality[:, columns], cost, *others)


def _tell(
    policy: Policy,
    arrivals: Batch,
    problem: Problem,
    estimates: OfflineEstimates,
    served: Ints,
    model: Ints,
) -> None:
    """Show a policy arrivals, and what came of those that were served, beside their estimates."""
    policy.observe(arrivals.quality, *arrivals.amounts)
    taken = served, model[served]
    known = np.isfinite(problem.scores[taken])
    policy.see_outcomes(
        [problem.catalog.names[one] for one in taken[1][known].tolist()],
        (problem.scores[taken] - estimates.quality[taken])[known],
        (problem.costs[taken] / np.maximum(estimates.cost[taken], 1.0))[known],
    )


def _members(changes: tuple[Change, ...], arrival: int, everyone: Ints) -> Ints:
    """Return the numbers of the models that take queries at this arrival."""
    current = everyone
    for change in changes:
        if change.after <= arrival:
            current = np.array(sorted(change.models), dtype=np.int64)
    return current


def _cuts(n: int, batch: int, edges: Sequence[int]) -> list[Ints]:
    """Cut arrivals into batches; none spans an edge: a change of models, or of windows."""
    edges = sorted({0, n, *(edge for edge in edges if 0 < edge < n)})
    return [
        np.arange(start, min(start + batch, end))
        for begin, end in pairwise(edges)
        for start in range(begin, end, batch)
    ]


def _prices(policy: Policy, limits: Sequence[str]) -> Floats:
    """Return float64[R], the policy's present prices by limit, NaN where it has none."""
    prices = policy.snapshot().get("prices")
    known = prices if isinstance(prices, dict) else {}
    return np.array([known.get(name, np.nan) for name in limits], dtype=np.float64)
