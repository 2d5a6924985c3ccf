"""What every policy promises, and the value classes it speaks in.

The driver (the offline engine, or a router process) does, for each batch of one partition:

    decisions = policy.route(batch, free)      # pure arithmetic on arrays, no I/O
    policy.observe(batch.quality, batch.cost)  # sees what arrives
    policy.plan(remaining, expected)           # re-solves prices when due

Before the first batch it calls `policy.warm_start(quality, cost)` with leave-one-out estimates of
the history, then `policy.plan(limits, expected)` once.

In a router process `observe` and `plan` run in the controller, on all partitions' samples, and
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
    """Chooses a model for each query of a batch. One instance serves one fleet."""

    name: ClassVar[str]
    estimator: ClassVar[str] = "paper"
    """Which estimates the batch must carry: "paper" (k = 5 means over Annoy), "exact" (the same
    over exact neighbours), "predictor" (trained), "best" (Sluice's own estimator)."""

    def __init__(self, catalog: ModelCatalog) -> None:
        self.catalog = catalog

    @abstractmethod
    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Choose. `free` int64[M] is what may still be reserved of each budget, nano-units.

        The chosen reservations of one call sum to at most `free` for every model, and a query is
        sent only where it is allowed. `free` and `batch` are not modified; the same call on the
        same state gives the same decisions.
        """

    def warm_start(self, quality: Floats, cost: Floats) -> None:  # noqa: B027
        """See leave-one-out estimates of the history (float64[H, M] each), before any arrival.

        The paper's own policies ignore it.
        """

    def observe(self, quality: Floats, cost: Floats) -> None:  # noqa: B027
        """See estimates of arrivals (float64[n, M] each); for policies that learn prices."""

    def plan(self, remaining: Ints, expected: float) -> bool:
        """Re-solve prices if due. Returns whether `snapshot()` has changed.

        remaining: int64[M] nano-units neither spent nor reserved; expected: how many more
        queries will share them.
        """
        return False

    def set_catalog(self, catalog: ModelCatalog) -> None:
        """Follow a change of fleet: models by name keep what was learned of them."""
        self.catalog = catalog

    def snapshot(self) -> dict[str, Any]:
        """All learned state as JSON-ready values, keyed by model name where it is per model."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:  # noqa: B027
        """Take over a `snapshot()`. Raises ValueError where it is not one of this policy."""
