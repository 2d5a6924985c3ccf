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
from dataclasses import dataclass
from typing import Any, ClassVar

from router.arrays import Bools, Floats, Ints
from router.models.catalog import ModelCatalog

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
    """

    ids: Sequence[str]
    quality: Floats
    cost: Floats
    bound: Ints
    allowed: Bools


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
    over exact neighbours), "predictor" (trained), "best" (Sluice's own estimator)."""

    def __init__(self, catalog: ModelCatalog) -> None:
        self.catalog = catalog

    @abstractmethod
    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Choose a model for each query.

        The chosen reservations of one call sum to at most `free` for every model, and a query is
        sent only where it is allowed. The arguments are not modified; the same call on the same
        state gives the same decisions.

        Args:
            batch: n queries.
            free: int64[M] nano-units that may still be reserved of each budget.
        """

    def warm_start(self, quality: Floats, cost: Floats) -> None:  # noqa: B027
        """See the history before any arrival. The paper's own policies ignore it.

        Args:
            quality: float64[H, M], leave-one-out estimates of scores.
            cost: float64[H, M], of costs, nano-units.
        """

    def observe(self, quality: Floats, cost: Floats) -> None:  # noqa: B027
        """See estimates of arrivals; for policies that learn prices.

        Args:
            quality: float64[n, M] estimated scores.
            cost: float64[n, M] estimated costs, nano-units.
        """

    def plan(self, remaining: Ints, expected: float) -> bool:
        """Re-solve prices if due.

        Args:
            remaining: int64[M] nano-units neither spent nor reserved.
            expected: Future queries that will share them.

        Returns:
            Whether `snapshot()` has changed.
        """
        return False

    def set_catalog(self, catalog: ModelCatalog) -> None:
        """Follow a change of models. What was learned of those that stay is kept, matched by name.

        Args:
            catalog: The models from now on.
        """
        self.catalog = catalog

    def snapshot(self) -> dict[str, Any]:
        """Return all learned state, JSON-ready, by model name where it is per model."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:  # noqa: B027
        """Replace the state by a `snapshot()`.

        Raises:
            ValueError: It is not a snapshot of this policy.
        """
