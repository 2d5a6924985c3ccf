"""Eagle: the model of highest Elo rating that a query's budget can pay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.models.catalog import ModelCatalog
from router.policies.base import Batch, Decisions, Policy
from router.policies.elo import PUBLISHED, update
from router.policies.floors import Floor
from router.policies.reserve import best_first


class Eagle(Policy):
    """Takes the highest score among the models whose estimated cost fits the budget of a query.

    Scores come with the batch: global and local Elo ratings (arXiv 2409.15518), made by
    `router/estimation/rated.py`. The global ratings are this policy's own state: outcomes update
    them (`learn`), and its snapshot takes them to where estimates are made. Eagle is given a budget
    for each query: a fixed one, or what is left of the money over the arrivals to come (our
    reconstruction). A query whose budget pays for no model waits (`not_worth`).
    """

    name = "eagle"
    estimator = "elo"
    resumes = True

    def __init__(
        self,
        catalog: ModelCatalog,
        ratings: Mapping[str, float] | None = None,
        k: float = PUBLISHED.k,
        fixed: float | None = None,
        every: int = 250,
    ) -> None:
        """Start without a budget, if none is fixed: nothing is too dear.

        Args:
            catalog: The models.
            ratings: Global ratings by model, from the history.
            k: The most that one game moves a rating.
            fixed: Budget of a query, nano-units; None for what is left over the arrivals to come.
            every: Arrivals, or games, between two published states.
        """
        super().__init__(catalog)
        self.budget = fixed
        self.ratings = dict(ratings or {})
        self.version = 0
        self._k = k
        self._fixed = fixed
        self._every = every
        self._unpublished = every

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Leave out what is too dear, then reserve in order of arrival."""
        affordable = batch.allowed & (
            batch.cost <= (np.inf if self.budget is None else self.budget)
        )
        score = np.where(affordable, batch.quality, -np.inf)
        return best_first(score, batch, free, self.version)

    def observe(
        self,
        quality: Floats,
        cost: Floats,
        *others: Floats,
        queries: Bools | None = None,
        floors: Sequence[Floor] | None = None,
    ) -> None:
        """Count the arrivals."""
        self._unpublished += len(quality)

    def learn(self, model: str, results: Mapping[str, float]) -> None:
        """Play one model's games against others, and count them."""
        update(self.ratings, model, results, self._k)
        self._unpublished += 1

    def outdate(self) -> None:
        """Have the next `plan` publish."""
        self._unpublished = self._every

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        """Publish ratings and budget, if enough has arrived since the last time.

        The money that is left is spread evenly over the arrivals to come and what waits, and is at
        most what limits that cover all models hold.
        """
        if self._unpublished < self._every:
            return False
        self._unpublished = 0
        share = np.maximum(remaining, 0) / np.maximum(np.add(expected, waiting), 1.0)
        if self._fixed is None and (budgets := self._budgets(share)):
            self.budget = min(budgets)
        self.version += 1
        return True

    def _budgets(self, share: Floats) -> list[float]:
        """Return bounds of what a query may cost, nano-units.

        Args:
            share: float64[R], what is left of each limit for a query.
        """
        limits = self.limits
        counts = limits.unit == 0
        if limits.queries is not None:
            # Those of single tenants bound their queries alone.
            counts &= limits.queries.all(axis=1)
        whole = counts & limits.models.all(axis=1)
        partly = counts & ~whole
        bounds: list[float] = share[whole].tolist()
        if limits.models[partly].any(axis=0).all():
            bounds.append(float(share[partly].sum()))
        return bounds

    def snapshot(self) -> dict[str, Any]:
        """Return the budget of a query, nano-units, and the global ratings by model."""
        return {"version": self.version, "budget": self.budget, "ratings": dict(self.ratings)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace budget and ratings.

        Raises:
            ValueError: The snapshot has none, or they are no numbers.
        """
        budget, ratings = snapshot.get("budget"), snapshot.get("ratings")
        if "budget" not in snapshot or not isinstance(ratings, Mapping):
            raise ValueError("an eagle snapshot holds a budget and ratings")
        numbers = [*ratings.values(), 0.0 if budget is None else budget]
        if not all(isinstance(one, int | float) and np.isfinite(one) for one in numbers):
            raise ValueError("an eagle snapshot holds finite numbers")
        self.version = int(snapshot.get("version", 0))
        self.budget = None if budget is None else float(budget)
        self.ratings = {str(name): float(rating) for name, rating in ratings.items()}
