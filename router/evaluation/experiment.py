"""Runs policies one after the other on the same problems, and computes comparable figures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from router.arrays import Floats, Ints, Vectors
from router.evaluation import budgets, engine, offline
from router.evaluation.datasets import Dataset
from router.evaluation.engine import Run
from router.evaluation.estimates import KINDS, PAPER_K, EstimationInputs, OfflineEstimates
from router.evaluation.limit_file import FileLimit, limits_over, window_lengths
from router.evaluation.problem import Problem, make_problem
from router.models.catalog import ModelCatalog
from router.policies import POLICIES
from router.policies.base import Policy
from router.policies.primal_dual import PrimalDual
from router.policies.static_mix import StaticMix

REFERENCES: dict[str, Callable[[Problem], Ints]] = {
    "offline-lp-estimates": offline.assign_on_estimates,
    "offline-lp-truth": offline.assign_on_truth,
}
REFERENCE_POLICY = "offline-lp-estimates"
"""The reference whose performance is 100 %."""
DRAWS = 20
"""Draws of the static mix whose mean is the control under one shared budget."""
CONTROLS = ("port", "static-mix", "greedy-perf", "random")
"""What every claim stands beside."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One cell of a table: everything but the policy.

    Attributes:
        budget: Total budget, as a multiple of what the cheapest model needs for all queries.
        split: How models share it, one of `budgets.SPLITS`, or of `budgets.TOGETHER`.
        models: Number of models; 0 for all.
        seed: Of split, orders and draws.
        order: Number of the order of arrival; 0 for the order given.
        retry: Whether policies decide queries again that were sent nowhere; references never do.
    """

    budget: float = 1.0
    split: str = "weighted"
    models: int = 0
    seed: int = 0
    order: int = 0
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A policy's figures in one setting.

    Attributes:
        policy: Its name.
        setting: Everything else.
        arrivals: Number of queries.
        performance: Sum of the served queries' scores.
        cost: Nano-dollars.
        served: Queries sent and paid.
        deferred: Queries sent nowhere.
        lost: Queries sent whose cost no longer fitted.
        relative: Performance relative to `REFERENCE_POLICY`, per cent.
        spent: Nano-dollars (tokens, requests) by limit; a model's own has its name.
        limits: Likewise, the amounts, of all windows together.
    """

    policy: str
    setting: Setting
    arrivals: int
    performance: float
    cost: int
    served: int
    deferred: int
    lost: int
    relative: float
    spent: Mapping[str, int]
    limits: Mapping[str, int]

    @property
    def per_dollar(self) -> float:
        """Performance per dollar, 0 where nothing was spent."""
        return self.performance / (self.cost / 1e9) if self.cost else 0.0


class EvaluationData:
    """A history and the arrivals to route, embedded; every kind of estimate is made once."""

    def __init__(
        self,
        history: Dataset,
        queries: Dataset,
        history_vectors: Vectors,
        query_vectors: Vectors,
        k: int = PAPER_K,
    ) -> None:
        """Hold a history and arrivals.

        Args:
            history: Outcomes to learn from.
            queries: Arrivals and their outcomes.
            history_vectors: float32[H, dim], unit norm.
            query_vectors: float32[n, dim], unit norm.
            k: Neighbours of the kinds "paper" and "exact" (the reference keeps the paper's 5).

        Raises:
            ValueError: The two do not name the same models in the same order.
        """
        if history.models != queries.models:
            raise ValueError("history and queries must have the same models in the same order")
        self.history, self.queries, self.k = history, queries, k
        self.known = EstimationInputs(
            history.history(history_vectors), history.prompts, query_vectors, queries.prompts, k
        )
        self.left_out = 0
        """Prompts that the history lacks, as they stand among the queries."""
        self.limits: Sequence[FileLimit] = ()
        self.hours = 0.0
        """How long all arrivals take, where limits have windows."""
        self._whole: EvaluationData | None = None
        self._made: dict[tuple[str, int], OfflineEstimates] = {}
        self._assigned: dict[tuple[str, Setting], Ints] = {}
        self._parts: dict[tuple[int, int], EvaluationData] = {}

    def estimates(self, kind: str) -> OfflineEstimates:
        """Return estimates of a kind; 100 % is based on "reference"."""
        kind, k = ("exact", PAPER_K) if kind == "reference" else (kind, self.k)
        return self._estimates(kind, k)

    def _estimates(self, kind: str, k: int) -> OfflineEstimates:
        if (kind, k) not in self._made:
            if self._whole is None:
                made = KINDS[kind](replace(self.known, k=k))
            else:  # a query's estimates do not depend on the others
                made = self._whole._estimates(kind, k).take(np.arange(len(self.queries)))
            self._made[kind, k] = made
        return self._made[kind, k]

    def problem(self, setting: Setting) -> Problem:
        """Make the problem with the setting's budgets and order (not its number of models)."""
        coverage, lengths = None, None
        if setting.split == budgets.SHARED:
            coverage, limits = budgets.shared(self.queries, setting.budget)
        elif setting.split == budgets.GIVEN:
            coverage, limits = limits_over(self.limits, self.queries.models, setting.budget)
            lengths = window_lengths(self.limits, len(self.queries), self.hours)
        else:
            limits = budgets.limits(
                self.history, self.queries, setting.budget, setting.split, setting.seed
            )
        rate = _tokens_per_cost(self.history)
        problem = make_problem(self.queries, limits, self.estimates, coverage, rate, lengths)
        return problem if setting.order == 0 else problem.reordered(self.order(setting))

    def order(self, setting: Setting) -> Ints:
        """Return int64[n], the arrivals' rows in the setting's order; 0 is the order given."""
        if setting.order == 0:
            return np.arange(len(self.queries))
        random = np.random.default_rng([setting.seed, setting.order])
        return random.permutation(len(self.queries))

    def assigned(self, reference: str, setting: Setting) -> Ints:
        """Return int64[n], a reference's assignment in the order given."""
        setting = replace(setting, order=0, retry=False)
        if (reference, setting) not in self._assigned:
            self._assigned[reference, setting] = REFERENCES[reference](self.problem(setting))
        return self._assigned[reference, setting]

    def first(self, count: int) -> EvaluationData:
        """Return the data with the first `count` arrivals only."""
        rows = np.arange(count)
        part = EvaluationData(
            self.history,
            self.queries.take(rows),
            self.known.history.embeddings,
            self.known.vectors[:count],
            self.k,
        )
        part._whole = self
        part.limits, part.hours = self.limits, self.hours
        return part

    def with_models(self, count: int, seed: int) -> EvaluationData:
        """Return the data with `count` models drawn by `seed`; all of them for 0.

        Raises:
            ValueError: There are not that many.
        """
        names = self.history.models
        if count in (0, len(names)):
            return self
        if not 0 < count <= len(names):
            raise ValueError(f"{count} models were asked for, the data has {len(names)}")
        if (count, seed) not in self._parts:
            drawn = np.sort(np.random.default_rng(seed).permutation(len(names))[:count])
            chosen = [names[i] for i in drawn]
            self._parts[count, seed] = EvaluationData(
                self.history.with_models(chosen),
                self.queries.with_models(chosen),
                self.known.history.embeddings,
                self.known.vectors,
                self.k,
            )
            part = self._parts[count, seed]
            part.limits, part.hours = self.limits, self.hours
        return self._parts[count, seed]


def _tokens_per_cost(history: Dataset) -> Floats | None:
    """Return float64[M], tokens a nano-dollar; None where the history does not tell tokens.

    Of a model without a cost it is 0: nothing says how many tokens its answers take.
    """
    if history.tokens is None:
        return None
    known = np.isfinite(history.tokens) & np.isfinite(history.costs)
    tokens, costs = (
        np.where(known, table, 0.0).sum(axis=0) for table in (history.tokens, history.costs)
    )
    rate: Floats = np.divide(tokens, costs, out=np.zeros_like(costs), where=costs > 0)
    return rate


def make(name: str, catalog: ModelCatalog, seed: int, **parameters: Any) -> Policy:
    """Make a fresh policy.

    Args:
        name: One of `POLICIES`.
        catalog: The models.
        seed: For policies that draw.
        **parameters: Of the policy's constructor.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in POLICIES:
        raise ValueError(f"no policy {name!r}; there are: {', '.join(sorted(POLICIES))}")
    kind = POLICIES[name]
    if "seed" in inspect.signature(kind).parameters:
        parameters["seed"] = seed
    return kind(catalog, **parameters)


def compare(
    ground: EvaluationData, setting: Setting, policies: Sequence[str], corrected: bool = False
) -> Iterator[tuple[Row, Run, Problem]]:
    """Yield the figures of the references, then of each policy, in one setting.

    Args:
        ground: The data.
        setting: One cell of a table.
        policies: Names.
        corrected: Whether outcomes correct the estimates of `primal-dual`.
    """
    ground = ground.with_models(setting.models, setting.seed)
    setting = replace(setting, models=len(ground.history.models))
    problem = ground.problem(setting)
    order = ground.order(setting)
    assigned = {name: ground.assigned(name, setting)[order] for name in REFERENCES}
    for row, run in judge(problem, setting, policies, assigned, corrected):
        yield row, run, problem


def judge(
    problem: Problem,
    setting: Setting,
    policies: Sequence[str],
    assigned: Mapping[str, Ints],
    corrected: bool = False,
) -> Iterator[tuple[Row, Run]]:
    """Yield the figures of the references, then of each policy, on one problem.

    Args:
        problem: Arrivals, budgets, estimates and outcomes.
        setting: Written to the rows.
        policies: Names.
        assigned: The references' assignments by name, int64[n] each.
        corrected: Whether outcomes correct the estimates of `primal-dual`.
    """
    reference = engine.settle(problem, assigned[REFERENCE_POLICY])
    for name, chosen in assigned.items():
        run = reference if name == REFERENCE_POLICY else engine.settle(problem, chosen)
        yield row_of(name, setting, problem, run, reference.performance), run
    for name in policies:
        parameters = {"corrected": corrected} if name == PrimalDual.name else {}
        policy = make(name, problem.catalog, setting.seed, **parameters)
        run = engine.run(policy, problem, retry=setting.retry)
        row = row_of(name, setting, problem, run, reference.performance)
        if name == StaticMix.name and setting.split in budgets.TOGETHER:
            row = _mean([row, *_more_draws(problem, setting, reference.performance)])
        yield row, run


def _more_draws(problem: Problem, setting: Setting, reference: float) -> Iterator[Row]:
    """Yield the static mix's rows with other seeds, so that luck is no part of the control."""
    for draw in range(1, DRAWS):
        policy = StaticMix(problem.catalog, seed=setting.seed + 1_000 * draw)
        run = engine.run(policy, problem, retry=setting.retry)
        yield row_of(policy.name, setting, problem, run, reference)


def _mean(rows: Sequence[Row]) -> Row:
    """Return the first row with the means of all rows' figures."""
    return replace(
        rows[0],
        performance=round(fmean(row.performance for row in rows), 9),
        cost=round(fmean(row.cost for row in rows)),
        served=round(fmean(row.served for row in rows)),
        deferred=round(fmean(row.deferred for row in rows)),
        lost=round(fmean(row.lost for row in rows)),
        relative=fmean(row.relative for row in rows),
    )


def row_of(name: str, setting: Setting, problem: Problem, run: Run, reference: float = 0.0) -> Row:
    """Return the figures of a run, relative to the reference's performance (0: to none)."""
    return Row(
        policy=name,
        setting=setting,
        arrivals=len(problem),
        performance=round(run.performance, 9),
        cost=run.cost,
        served=run.count,
        deferred=run.deferred,
        lost=run.lost,
        relative=100.0 * run.performance / reference if reference else 0.0,
        spent=dict(zip(problem.coverage.names, run.spent[-1].tolist(), strict=True)),
        limits=dict(zip(problem.coverage.names, problem.totals.tolist(), strict=True)),
    )
