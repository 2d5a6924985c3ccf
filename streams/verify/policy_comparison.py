"""Run other policies, budgets and models on the queries of a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from router.arrays import Floats, Ints
from router.budget.limits import LimitSet
from router.estimation.estimator import sample_rows
from router.estimation.history import History
from router.evaluation import engine
from router.evaluation.engine import Run
from router.evaluation.estimates import KINDS, PAPER_K, EstimationInputs, OfflineEstimates
from router.evaluation.experiment import make
from router.evaluation.imputation import impute
from router.evaluation.offpolicy import Estimate, Logged, estimate
from router.evaluation.problem import Problem
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Policy
from router.policies.explore import Explore
from streams.config.settings import Config
from streams.routing.build import Parts, configured
from streams.verify.replay_dataset import ReplayDataset


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """One policy under one budget.

    Attributes:
        policy: its name.
        budget: multiple of the configured limits.
        run: its decisions, charged with imputed outcomes where none is known.
        problem: the queries it decided.
        score: off-policy estimates of the mean score per query.
        cost: off-policy estimates of the mean cost per query, nano-units.
    """

    policy: str
    budget: float
    run: Run
    problem: Problem
    score: Estimate
    cost: Estimate


class PolicyComparison:
    """Runs policies on a log's queries; unknown outcomes are imputed from neighbours."""

    def __init__(
        self, config: Config, parts: Parts, dataset: ReplayDataset, models: Sequence[str]
    ) -> None:
        """Impute the unknown outcomes.

        Args:
            config: the deployment's configuration.
            parts: scorer, limits and index of that configuration.
            dataset: the log's queries.
            models: names of the models to route to; empty for all.

        Raises:
            ValueError: a name is not a configured model.
        """
        catalog, history = parts.scorer.catalog, parts.scorer.estimator.history
        if unknown := [name for name in models if name not in catalog.index]:
            raise ValueError(
                f"no model {unknown[0]!r} in the configuration; there are: "
                f"{', '.join(catalog.names)}"
            )
        columns = [catalog.index[name] for name in models or catalog.names]
        scores, costs = impute(history, dataset.vectors, dataset.scores, dataset.costs)
        self._config = config
        self._catalog = ModelCatalog(catalog.models[i] for i in columns)
        # The log is one window for all limits: how often others begin again is not looked at.
        money, _ = parts.limits.for_all(catalog.names).of_models(np.array(columns))
        names = [name for name, unit in zip(money.names, money.unit, strict=True) if unit == 0]
        self._coverage = parts.limits.named(self._catalog.names, names)
        self._limits = np.array([parts.amounts[name] for name in names], dtype=np.int64)
        self._history = History(
            history.ids, history.embeddings, history.scores[:, columns], history.costs[:, columns]
        )
        warm = parts.scorer.estimator.base.leave_one_out(sample_rows(len(history)))
        self._warm = warm.quality[:, columns], warm.cost[:, columns]
        self._reward = _logged(dataset.scores, dataset.model)
        self._charge = _logged(dataset.costs, dataset.model)
        self.dataset = dataset.with_models(columns)
        self._scores, self._costs = scores[:, columns], costs[:, columns]
        self._estimates_by_kind: dict[str, OfflineEstimates] = {}

    @property
    def judged_outcomes(self) -> int:
        """Number of queries whose logged decision has a known score (deferred ones score 0)."""
        return int(np.isfinite(self._reward).sum())

    @property
    def uncounted(self) -> list[str]:
        """Names of the limits that are left out."""
        return uncounted(self._config.limit_set())

    @property
    def explored(self) -> bool:
        """Whether the log's decisions were randomised."""
        return Logged(self.dataset.model, self.dataset.propensity, self._reward).explored

    def logged(self) -> tuple[float, float, int]:
        """Return the log's mean known score and cost (nano-units), and how many were sent.

        A mean is NaN where nothing is known.
        """
        return (
            _known_mean(self._reward),
            _known_mean(self._charge),
            int((self.dataset.model != NONE).sum()),
        )

    def run(self, names: Sequence[str], budgets: Sequence[float]) -> Iterator[PolicyResult]:
        """Run each policy from the start under each multiple of the configured limits."""
        dataset = self.dataset
        for budget in budgets:
            problem = self.problem(budget)
            for name in names:
                run = engine.run(self._policy(name), problem)
                chosen = np.where(run.served, run.model, NONE)
                score, cost = (
                    estimate(Logged(dataset.model, dataset.propensity, reward), chosen, imputed)
                    for reward, imputed in (
                        (self._reward, self._scores),
                        (self._charge, self._costs),
                    )
                )
                yield PolicyResult(name, budget, run, problem, score, cost)

    def problem(self, budget: float) -> Problem:
        """Return the queries with known outcomes, imputed where unknown."""
        dataset = self.dataset
        costs = np.where(np.isfinite(dataset.costs), dataset.costs, self._costs)
        return Problem(
            catalog=self._catalog,
            ids=dataset.ids,
            tasks=[""] * len(dataset),
            limits=np.floor(self._limits * budget).astype(np.int64),
            scores=np.where(np.isfinite(dataset.scores), dataset.scores, self._scores),
            costs=np.ceil(costs).astype(np.int64),
            known=dataset.allowed,
            estimates=self._estimates,
            given=self._coverage,
        )

    def _policy(self, name: str) -> Policy:
        config = self._config
        if name == config.policy.name:
            policy = configured(config, self._catalog)
            # Its exploration would draw what the log drew: that agreement is no evidence.
            return policy.policy if isinstance(policy, Explore) else policy
        return make(name, self._catalog, config.policy.seed)

    def _estimates(self, kind: str) -> OfflineEstimates:
        if kind not in self._estimates_by_kind:
            if kind == "best":
                self._estimates_by_kind[kind] = OfflineEstimates(
                    self.dataset.quality, self.dataset.cost, *self._warm
                )
            else:
                none: list[str] = []  # only "best" looks at texts
                known = EstimationInputs(
                    self._history,
                    none,
                    self.dataset.vectors,
                    none,
                    PAPER_K,
                    self._config.policy.eagle.elo(),
                )
                self._estimates_by_kind[kind] = KINDS[kind](known)
        return self._estimates_by_kind[kind]


def _known_mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def uncounted(limits: LimitSet) -> list[str]:
    """Return the limits that a comparison of policies leaves out: all but money of all tenants."""
    return [one.name for one in limits.limits if one.unit != "currency" or one.tenants != "all"]


def _logged(outcomes: Floats, model: Ints) -> Floats:
    """Return each logged decision's outcome, float64[n]; 0 where it was to defer."""
    rows = np.arange(len(model))
    return np.where(model == NONE, 0.0, outcomes[rows, np.maximum(model, 0)])
