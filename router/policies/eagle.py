"""Eagle: the model of highest Elo rating that a query's budget can pay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from router.arrays import Floats, Ints
from router.models.catalog import ModelCatalog
from router.policies.base import Batch, Decisions, Policy
from router.policies.reserve import best_first


class Eagle(Policy):
    """Takes the highest score among the models whose estimated cost fits the budget of a query.

    Scores come from global and local Elo ratings (arXiv 2409.15518; `router/evaluation/elo.py`),
    costs from the same neighbours. Eagle is given a budget for each query; here it is what is left
    of the money over the arrivals to come, at each `plan` (our reconstruction).
    """

    name = "eagle"
    estimator = "elo"
    live = False

    def __init__(self, catalog: ModelCatalog) -> None:
        super().__init__(catalog)
        self.budget: float | None = None

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Leave out what is too dear, then reserve in order of arrival."""
        affordable = batch.allowed & (
            batch.cost <= (np.inf if self.budget is None else self.budget)
        )
        return best_first(np.where(affordable, batch.quality, -np.inf), batch, free, 0)

    def plan(self, remaining: Ints, expected: float | Floats) -> bool:
        """Spread the money that is left evenly over the arrivals to come."""
        money = self.limits.unit == 0
        if not money.any():
            return False
        share = np.maximum(remaining, 0) / np.maximum(expected, 1.0)
        self.budget = float(share[money].sum())
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return the budget of a query, nano-units."""
        return {"budget": self.budget}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the budget.

        Raises:
            ValueError: The snapshot has none.
        """
        if "budget" not in snapshot:
            raise ValueError("an eagle snapshot holds a budget")
        budget = snapshot["budget"]
        self.budget = None if budget is None else float(budget)
