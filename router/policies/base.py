"""What every policy promises, and the value classes of its interface.

The driver (the offline engine, or a router process) does, for each batch of one partition:

    decisions = policy.route(batch, free)      # pure arithmetic on arrays, no I/O
    policy.observe(batch.quality, batch.cost)  # sees what arrives
    policy.plan(remaining, expected)           # re-solves prices when due

Before the first batch it calls `policy.warm_start(quality, cost)` with leave-one-out estimates of
the history, then `policy.plan(limits, expected)` once.

In a live system `observe` and `plan` run in the controller, on samples of all partitions, and
`snapshot()` travels on the `prices` topic to every router, which calls `restore()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.models.catalog import ModelCatalog
from router.policies.floors import Floor
from router.pricing.coverage import Coverage

NONE = -1
"""The model number of a query that goes to no model."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Queries to decide, in arrival order.

    Attributes:
        ids: n query ids. All randomness is drawn from a seed and the id, never from a shared
            state, so that a decision does not depend on how arrivals were cut into batches.
        quality: float64[n, M], the estimated score of each model's answer.
        cost: float64[n, M], its estimated cost, nano-units.
        bound: int64[n, M], the reservation that each model would need, nano-units.
        allowed: bool[n, M], where the query may go at all (by its own constraints, the context
            length and the registry).
        coverage: The limits that queries draw on; None for one money limit a model, in the models'
            order.
        other_amounts: float64[n, M] for each unit but money, what each model's answer will probably
            draw.
        other_bounds: int64[n, M] for each unit but money, what each model would reserve.
        floors: n quality floors; None where nobody asks for any.
    """

    ids: Sequence[str]
    quality: Floats
    cost: Floats
    bound: Ints
    allowed: Bools
    coverage: Coverage | None = None
    other_amounts: Sequence[Floats] = ()
    other_bounds: Sequence[Ints] = ()
    floors: Sequence[Floor] | None = None

    @property
    def limits(self) -> Coverage:
        """The limits that queries draw on."""
        if self.coverage is not None:
            return self.coverage
        return Coverage.per_model([str(model) for model in range(self.quality.shape[1])])

    @property
    def amounts(self) -> list[Floats]:
        """float64[n, M] a unit: what each pair will probably draw."""
        return [self.cost, *self.other_amounts]

    @property
    def bounds(self) -> list[Ints]:
        """int64[n, M] a unit: what each pair would reserve."""
        return [self.bound, *self.other_bounds]

    def priced_by(
        self, limits: Coverage, prices: Floats, others: Mapping[str, float] | None = None
    ) -> Floats:
        """Return float64[R'], the prices of this batch's limits; 0 for one that has none.

        Args:
            limits: Of a policy.
            prices: float64[R], of these.
            others: Prices of more limits, by name.
        """
        if self.coverage is None or self.coverage.names == limits.names:
            return prices
        known = dict(others or {}) | dict(zip(limits.names, prices.tolist(), strict=True))
        return np.array([known.get(name, 0.0) for name in self.coverage.names], np.float64)

    def take(self, rows: slice) -> Batch:
        """Return some of the queries."""
        return replace(
            self,
            ids=self.ids[rows],
            quality=self.quality[rows],
            cost=self.cost[rows],
            bound=self.bound[rows],
            allowed=self.allowed[rows],
            coverage=None if self.coverage is None else self.coverage.take(rows),
            other_amounts=[table[rows] for table in self.other_amounts],
            other_bounds=[table[rows] for table in self.other_bounds],
            floors=None if self.floors is None else self.floors[rows],
        )

    def drawn(self, model: Ints) -> Ints:
        """Return int64[R, n]: what each query reserves of each limit.

        Args:
            model: int64[n], the model of each query; NONE draws nothing.
        """
        limits = self.limits
        drawn = np.zeros((len(limits), len(model)), dtype=np.int64)
        sent = np.flatnonzero(model != NONE)
        drawn[:, sent] = limits.drawn(sent, model[sent], self.bounds)
        return drawn


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a policy decided on n queries.

    Attributes:
        model: int64[n], the chosen model's number; NONE where no model was chosen.
        reason: n keys of `REASONS`.
        propensity: float64[n], the probability with which this policy takes this decision.
        version: Version of the prices used; 0 where a policy has none.
        preferred: int64[n], the model that would have been chosen if every budget had room, NONE
            for no model; None where the policy cannot say.
    """

    model: Ints
    reason: Sequence[str]
    propensity: Floats
    version: int = 0
    preferred: Ints | None = None


REASONS = {
    "best": "the highest score had room in its budget",
    "next_best": "a model with a lower positive score, as a better one had no room",
    "warmup": "drawn at random while prices were still being learned",
    "explore": "drawn at random to learn about models",
    "not_worth": "no model is worth its price for this query",
    "no_budget": "models worth their price had no room for the reservation",
    "not_allowed": "no model may take this query",
    "dropped": "the policy gave the query up (baselines of the paper only)",
}


class Policy(ABC):
    """Chooses a model for each query of a batch. One instance serves one catalog."""

    name: ClassVar[str]
    estimator: ClassVar[str] = "paper"
    """Which estimates the batch must carry: "paper" (k = 5 means over Annoy), "exact" (the same
    over exact neighbours), "means" (each model's own, the same for every query), "predictor"
    (trained), "elo" (ratings), "best" (Sluice's own estimator)."""
    resumes: ClassVar[bool] = False
    """Whether a controller that starts goes on from the snapshot that was published last: for what
    is learned from more than the newest arrivals."""

    def __init__(self, catalog: ModelCatalog) -> None:
        self.catalog = catalog
        self.limits = Coverage.per_model(catalog.names)

    @abstractmethod
    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Choose a model for each query.

        The chosen reservations of one call sum to at most `free` for every limit, and a query is
        sent only where it is allowed. The arguments are not modified; the same call on the same
        state gives the same decisions.

        Args:
            batch: n queries.
            free: int64[R], what may still be reserved of each limit.
        """

    def warm_start(self, quality: Floats, cost: Floats, *others: Floats) -> None:  # noqa: B027
        """See the history before any arrival. The paper's own policies ignore it.

        Args:
            quality: float64[H, M], leave-one-out estimates of scores.
            cost: float64[H, M], of costs, nano-units.
            others: float64[H, M] for each unit but money, of what answers draw.
        """

    def observe(  # noqa: B027
        self,
        quality: Floats,
        cost: Floats,
        *others: Floats,
        queries: Bools | None = None,
        floors: Sequence[Floor] | None = None,
    ) -> None:
        """See estimates of arrivals; for policies that learn prices.

        Args:
            quality: float64[n, M] estimated scores.
            cost: float64[n, M] estimated costs, nano-units.
            others: float64[n, M] for each unit but money, what they will probably draw.
            queries: bool[R, n], which limits cover them; None where each limit covers all.
            floors: n quality floors; None where nobody asks for any.
        """

    def learn(self, model: str, results: Mapping[str, float]) -> None:  # noqa: B027
        """See how an answer did against other models.

        Args:
            model: That has answered.
            results: By other model: 1 for a better answer, 0.5 for one as good, 0 for a worse one,
                or a mean of these.
        """

    def see_outcomes(self, models: Sequence[str], scores: Floats, costs: Floats) -> None:  # noqa: B027
        """See judged answers beside their estimates; for policies that correct these.

        Args:
            models: k names, of those that have answered.
            scores: float64[k], each score less its estimate.
            costs: float64[k], each cost over its estimate.
        """

    def outdate(self) -> None:  # noqa: B027
        """Have the next `plan` solve, however few queries have arrived: something else changed."""

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        """Re-solve prices if due.

        Args:
            remaining: int64[R], what is neither spent nor reserved of each limit.
            expected: Future queries that will share it: of all limits, or float64[R] where their
                windows end at different times.
            waiting: Queries that have arrived and wait: they will share it, too.

        Returns:
            Whether `snapshot()` has changed.
        """
        return False

    def set_catalog(self, catalog: ModelCatalog, limits: Coverage | None = None) -> None:
        """Follow a change of models or limits. What was learned is kept, matched by name.

        Args:
            catalog: The models from now on.
            limits: The limits from now on; None for a money limit for each model. Its `queries`,
                where given, are of the newest arrivals.
        """
        self.catalog = catalog
        self.limits = limits or Coverage.per_model(catalog.names)

    def snapshot(self) -> dict[str, Any]:
        """Return all learned state, JSON-ready, by model name where it is per model."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:  # noqa: B027
        """Replace the state by a `snapshot()`.

        Raises:
            ValueError: It is not a snapshot of this policy.
        """
