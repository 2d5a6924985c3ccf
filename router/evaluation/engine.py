"""The offline engine: one policy on one problem, in order of arrival (the paper's protocol).

For each batch the policy decides on estimates; then the true costs are charged. A query whose true
cost no longer fits its model's budget is lost. Nothing looks at a query's own outcome before it is
decided.

The paper decides each query once. With `retry`, queries that were sent nowhere are decided again
after each batch, oldest first, as routers do, and after the last batch until nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.evaluation.problem import Change, Problem
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Batch, Decisions, Policy

BATCH = 256
"""Arrivals decided at once, as in the paper's code, where there are many."""
BATCHES = 16
"""Batches at least: of few arrivals, the first batch alone could otherwise spend all the money."""
LAST_PASSES = 16
"""Passes, at most, over what still waits after the last arrival."""


@dataclass(slots=True)
class Run:
    """What came of a policy on a problem of n queries.

    Attributes:
        model: int64[n], the model chosen; NONE where none was.
        reason: n keys of `policies.base.REASONS`.
        served: bool[n], sent and paid.
        version: int64[n], of the prices used.
        turn: int64[n], the place of each query's last decision among all decisions.
        spent: int64[batches, M] nano-units, after each batch.
        prices: float64[1 + batches, M], before the first batch and after each; NaN where a policy
            has none.
        performance: Sum of the served queries' scores.
        cost: Nano-units spent.
        decided: Number of decisions: n, or more where queries are decided again.
    """

    model: Ints
    reason: list[str]
    served: Bools
    version: Ints
    turn: Ints
    spent: Ints
    prices: Floats
    performance: float = 0.0
    cost: int = 0
    decided: int = 0

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
        """Write down the decisions on int64[m] rows, with the models of all chosen."""
        self.model[rows] = chosen
        for row, reason in zip(rows.tolist(), decisions.reason, strict=True):
            self.reason[row] = reason
        self.version[rows] = decisions.version
        self.turn[rows] = self.decided + np.arange(len(rows))
        self.decided += len(rows)


def run(policy: Policy, problem: Problem, batch: int | None = None, retry: bool = False) -> Run:
    """Run a policy on a problem.

    Args:
        policy: A fresh instance, for the problem's catalog.
        problem: Arrivals, budgets, estimates and outcomes.
        batch: Arrivals decided at once; by default `BATCH`, or fewer, so that there are `BATCHES`.
        retry: Whether queries that were sent nowhere are decided again.
    """
    n = len(problem)
    batch = batch or min(BATCH, max(1, n // BATCHES))
    driver = _Driver(policy, problem)
    spent_trace: list[Ints] = []
    price_trace = [_prices(policy, problem.coverage.names)]
    changes = [change.after for change in problem.changes]
    for rows in _cuts(n, batch, changes + driver.budget.edges):
        driver.follow_models(int(rows[0]))
        driver.arrive(rows)
        following = int(rows[-1]) + 1
        if driver.budget.advance(following):
            policy.outdate()
        if retry:
            driver.plan_and_retry(following, LAST_PASSES if following == n else 1)
        else:
            driver.plan(following)
        spent_trace.append(driver.budget.spent.copy())
        price_trace.append(_prices(policy, problem.coverage.names))

    result = driver.result
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
        reason=[""] * n,
        served=np.zeros(n, dtype=np.bool_),
        version=np.zeros(n, dtype=np.int64),
        turn=np.arange(n),
        spent=np.zeros((0, limits), dtype=np.int64),
        prices=np.zeros((0, limits)),
    )


def _part(catalog: ModelCatalog, columns: Ints) -> ModelCatalog:
    """Return the models of these numbers."""
    return ModelCatalog(catalog.models[i] for i in columns)


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


class _Driver:
    """Puts arrivals to a policy, charges what comes of them, and tells the policy.

    Attributes:
        budget: What is spent.
        result: What came of the queries so far.
    """

    def __init__(self, policy: Policy, problem: Problem) -> None:
        """Show the policy the history, and have it plan."""
        estimates = problem.estimates(policy.estimator)
        self._estimates = estimates.careful() if problem.coverage.shared_by_models else estimates
        self._policy = policy
        self._problem = problem
        self._everyone = np.arange(len(problem.catalog))
        self.budget = _Budget(problem)
        self.result = _empty(len(problem), len(problem.limits))
        # Before a model joins, a policy has not heard of it; it sees only the columns of its
        # catalog.
        self._columns = _members(problem.changes, 0, self._everyone)
        self._coverage, self._kept = problem.coverage.of_models(self._columns)
        if problem.given is not None or len(self._columns) < len(self._everyone):
            policy.set_catalog(_part(problem.catalog, self._columns), self._coverage)
        cost = self._estimates.warm_cost[:, self._columns]
        others = problem.amounts(cost, self._columns)[1:]
        policy.warm_start(self._estimates.warm_quality[:, self._columns], cost, *others)
        self.plan(0)

    def follow_models(self, arrival: int) -> None:
        """Tell the policy where other models take queries from this arrival on."""
        members = _members(self._problem.changes, arrival, self._everyone)
        if np.array_equal(members, self._columns):
            return
        self._columns = members
        self._coverage, self._kept = self._problem.coverage.of_models(members)
        self._policy.set_catalog(_part(self._problem.catalog, members), self._coverage)
        self.plan(arrival)

    def arrive(self, rows: Ints) -> None:
        """Decide int64[m] new arrivals, and show them to the policy."""
        arrivals = self._decide(rows)
        self._policy.observe(arrivals.quality, *arrivals.amounts)
        self._see_outcomes(rows)

    def plan(self, arrival: int, waiting: float = 0.0) -> None:
        """Have the policy plan for the arrivals from this one on, and for so many that wait."""
        kept = self._kept
        expected = self._problem.expected(arrival)[kept]
        self._policy.plan(self.budget.left[kept], expected, waiting)

    def plan_and_retry(self, arrival: int, passes: int) -> None:
        """Plan with what waits, and decide it again, until nothing more is sent.

        Args:
            arrival: Number of the next one.
            passes: At most.
        """
        for _ in range(passes):
            waiting = self._waiting(arrival)
            if not len(waiting):
                self.plan(arrival)
                return
            self._policy.outdate()  # what waits is decided otherwise by new prices only
            self.plan(arrival, float(len(waiting)))
            self._decide(waiting)
            self._see_outcomes(waiting)
            if (self.result.model[waiting] == NONE).all():
                return

    def _waiting(self, arrival: int) -> Ints:
        """Return the rows before this one that were sent nowhere, and not given up."""
        rows = np.flatnonzero(self.result.model[:arrival] == NONE)
        return rows[[self.result.reason[row] != "dropped" for row in rows.tolist()]]

    def _decide(self, rows: Ints) -> Batch:
        arrivals = self._batch(rows)
        decisions = self._policy.route(arrivals, self.budget.left[self._kept])
        chosen = np.where(decisions.model == NONE, NONE, self._columns[decisions.model])
        self.result.record(rows, chosen, decisions)
        self.budget.charge(rows, chosen, self.result)
        return arrivals

    def _batch(self, rows: Ints) -> Batch:
        """Return queries as a policy sees them that knows the models and limits of now."""
        problem, columns = self._problem, self._columns
        part = np.ix_(rows, columns)
        tables = problem.amounts(self._estimates.cost[part], columns)
        bounds = [np.maximum(np.ceil(table), 0).astype(np.int64) for table in tables]
        return Batch(
            ids=[problem.ids[row] for row in rows],
            quality=self._estimates.quality[part],
            cost=tables[0],
            bound=bounds[0],
            allowed=problem.known[part],
            coverage=self._coverage,
            other_amounts=tables[1:],
            other_bounds=bounds[1:],
        )

    def _see_outcomes(self, rows: Ints) -> None:
        """Show the policy what came of those that were served, beside their estimates."""
        problem, estimates = self._problem, self._estimates
        served = rows[self.result.served[rows]]
        taken = served, self.result.model[served]
        known = np.isfinite(problem.scores[taken])
        self._policy.see_outcomes(
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
