"""The parts of a router process, made from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from router.budget.horizon import Horizon
from router.budget.limits import LimitSet
from router.estimation.embedders import Embedder, make_embedder
from router.estimation.estimator import Estimator, sample_rows
from router.estimation.index.manifest import SavedIndex, load_index
from router.estimation.rated import RatedEstimator
from router.estimation.scorer import QueryScorer
from router.models.catalog import ModelCatalog
from router.policies import POLICIES
from router.policies.base import Policy
from router.policies.explore import Explore
from router.policies.floors import Floors
from streams.config.settings import Config
from streams.routing.drawing import other_amounts
from streams.routing.prior import has_beliefs


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that follow from the configuration and one version of the index.

    Attributes:
        scorer: Estimates quality, cost and bounds.
        limits: What each configured limit covers.
        amounts: Of each, by name, in its own unit.
        new_policy: Makes a policy that has been warmed from history and has its first prices.
        trial: The probability with which a query goes to a newcomer.
        seed: Of that draw.
        attempts: Models that a query whose call has failed may go to after the first.
        explored: Whether too little is known of a model, so that queries are drawn at random.
        floors: The configured quality floors; None where the policy keeps none.
    """

    scorer: QueryScorer
    limits: LimitSet
    amounts: Mapping[str, int]
    new_policy: Callable[[], Policy]
    trial: float = 0.0
    seed: int = 0
    attempts: int = 0
    explored: bool = False
    floors: Floors | None = None

    @property
    def taken_names(self) -> frozenset[str]:
        """As `Config.taken_names`."""
        return frozenset((*self.scorer.known.names, *self.limits.index))

    def with_trials(self, policy: Policy, catalog: ModelCatalog) -> Policy:
        """Return a policy for its own models and the newcomers that `catalog` has after them."""
        if len(catalog) == len(self.scorer.known):
            return policy
        return Explore(policy, self.trial, self.seed, catalog)


def build(config: Config, embedder: Embedder | None = None, folder: Path | None = None) -> Parts:
    """Load embedder and index, and warm the policy.

    Args:
        config: The configuration.
        embedder: One that is loaded already, or None.
        folder: Of the index, where it is not the configured one.

    Raises IndexRefused, EmbeddingError or ValueError where they do not fit the configuration.
    """
    catalog = config.catalog()
    embedder = embedder or make_embedder(config.embedder.kind, **config.embedder.arguments())
    saved = load_index(
        folder or config.index.path,
        embedder=embedder.name,
        dimension=embedder.dimension,
        models=catalog.names,
        search_k=config.index.search_k,
    )
    limits = config.limit_set()
    estimator = _estimator(config, saved)
    amounts = config.amounts(
        np.nanmean(saved.history.scores, axis=0), np.nanmean(saved.history.costs, axis=0)
    )
    past = estimator.leave_one_out(sample_rows(len(saved.history)))
    past_cost = np.where(catalog.free, 0.0, past.cost)
    known = limits.for_all(catalog.names)
    room = np.array([amounts[name] for name in known.names], dtype=np.int64)
    horizon = Horizon(
        config.policy.expected_queries, config.windows(), usual=float(len(saved.history))
    )
    thin = has_beliefs(saved.history)
    others = other_amounts(past.cost, catalog) if limits.measured else ()
    estimates, ratings = _rated(config, estimator, catalog)

    def new_policy() -> Policy:
        policy = configured(config, catalog, thin, ratings)
        policy.set_catalog(catalog, known)
        policy.warm_start(past.quality, past_cost, *others)
        policy.plan(room, horizon.whole(known.names))
        return policy

    version, mode = saved.manifest.version, config.reservation.mode
    scorer = QueryScorer(embedder, estimates, catalog, mode, index=version)
    attempts, trial = config.failover.attempts, config.newcomers.probability
    seed = config.policy.seed
    return Parts(scorer, limits, amounts, new_policy, trial, seed, attempts, thin, config.floors())


def _estimator(config: Config, saved: SavedIndex) -> Estimator:
    """Return the estimator that an index was built with, careful where models share limits."""
    shared = config.limit_set().models(list(config.models)).sum(axis=1) > 1
    quantile, careful = config.reservation.quantile, bool(shared.any())
    return Estimator.from_arrays(saved.estimator, saved.history, saved.index, quantile, careful)


def _rated(
    config: Config, estimator: Estimator, catalog: ModelCatalog
) -> tuple[Estimator | RatedEstimator, Mapping[str, float]]:
    """Return the estimator that the configured policy decides by, and ratings where it has any."""
    if POLICIES[config.policy.name].estimator != "elo":
        return estimator, {}
    rated = RatedEstimator(estimator, catalog.names, config.policy.eagle.elo())
    return rated, rated.ratings


def configured(
    config: Config,
    catalog: ModelCatalog,
    thin: bool = False,
    ratings: Mapping[str, float] | None = None,
) -> Policy:
    """Return the configured policy for a catalog, without history, with its exploration.

    thin: Whether so little is known that it explores as [cold_start] says, at least.
    """
    policy: Policy = POLICIES[config.policy.name](catalog, **_settings(config, ratings or {}))
    share, money = config.policy.explore, config.policy.explore_money
    if thin and config.cold_start.explore > share:
        share, money = config.cold_start.explore, config.cold_start.money
    if share:
        return Explore(policy, share, config.policy.seed, money=money)
    return policy


def _settings(config: Config, ratings: Mapping[str, float]) -> dict[str, Any]:
    """Return the settings that the configured policy takes from the [policy] section."""
    policy = config.policy
    if policy.name == "primal-dual":
        corrected = {"corrected": policy.corrections}
        return {"every": policy.resolve_every, "window": policy.window, **corrected}
    if policy.name == "quality-floor":
        return {"floor": policy.floor, "every": policy.resolve_every, "window": policy.window}
    if policy.name == "eagle":
        return {
            "ratings": ratings,
            "k": policy.eagle.k,
            "fixed": policy.eagle.budget(),
            "every": policy.resolve_every,
        }
    return {}
