"""A bandit that learns from outcomes while it runs, for `benchmarks/drift.py`."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints
from router.models.catalog import ModelCatalog
from router.policies.base import Batch, Decisions, Policy
from router.policies.reserve import best_first


class ParetoBandit(Policy):
    """LinUCB with forgetting, and a pacer of the rate of spending (arXiv 2604.00136).

    argmax_i θ_i·x + α √(xᵀ A_i⁻¹ x) − λ ĉ_i, with λ ← clip(λ + 0.05 (c̄ / B̄ − 1), 0, 5): ĉ_i the
    logarithm of the estimated cost, from 0 for the cheapest model to 1 for the dearest, c̄ the mean
    of the last costs, B̄ the money a query. Published are the pacer's step and bounds; how costs
    are scaled, the first price, the prior's weight, α and the rate of forgetting are our
    reconstruction. It decides query by query, each with the outcomes of all before.
    """

    name = "pareto-bandit"
    STEP, HIGHEST, RECENT = 0.05, 5.0, 0.05
    FORGET, PRIOR, ALPHA = 0.997, 200.0, 0.05

    def __init__(self, catalog: ModelCatalog, context: Floats, budget: float) -> None:
        """Start without knowledge.

        Args:
            catalog: The models.
            context: float64[n, d], the arrivals' features, in order; ids are their numbers.
            budget: Nano-units a query.
        """
        super().__init__(catalog)
        models, size = len(catalog), context.shape[1]
        self._context, self._budget = context, budget
        self._ridge = np.eye(size)
        self._a = np.tile(self._ridge, (models, 1, 1))
        self._b = np.zeros((models, size))
        self._price, self._paid = 0.0, budget
        self._ratio = np.ones(models)
        self._least, self._range = 0.0, 1.0

    def begin(self, context: Floats, score: Floats) -> None:
        """Take a history as so many observations as `PRIOR`: float64[h, d] and float64[h, M]."""
        for model in range(len(self._b)):
            known = np.isfinite(score[:, model])
            if known.any():
                x, part = context[known], self.PRIOR / known.sum()
                self._a[model] = self._ridge + part * x.T @ x
                self._b[model] = part * x.T @ score[known, model]

    def start_price(self, quality: Floats, cost: Floats) -> None:
        """Start at the price that spends the money a query on a history: float64[h, M] each."""
        mean = np.log(np.maximum(cost, 1.0)).mean(axis=0)
        self._least, self._range = float(mean.min()), max(float(np.ptp(mean)), 1e-9)
        low, high = 0.0, self.HIGHEST
        for _ in range(40):
            self._price = (low + high) / 2
            best = (quality - self._price * self._scaled(cost)).argmax(axis=1)
            dear = cost[np.arange(len(best)), best].mean() > self._budget
            low, high = (self._price, high) if dear else (low, self._price)

    def _scaled(self, cost: Floats) -> Floats:
        scaled: Floats = (np.log(np.maximum(cost, 1.0)) - self._least) / self._range
        return scaled

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Choose by the upper confidence bound net of the pacer's price."""
        x = self._context[[int(name) for name in batch.ids]]
        inverse = np.linalg.inv(self._a)
        mean = x @ np.einsum("mij,mj->im", inverse, self._b)
        spread = np.sqrt(np.einsum("ni,mij,nj->nm", x, inverse, x))
        paid = self._price * self._scaled(batch.cost * self._ratio)
        score = np.where(batch.allowed, mean + self.ALPHA * spread - paid, -np.inf)
        # It has no notion of leaving a query out: the least bad model is taken.
        return best_first(score - score.min(initial=0.0, where=batch.allowed) + 1, batch, free, 0)

    def update(self, batch: Batch, rows: Ints, model: Ints, score: Floats, cost: Floats) -> None:
        """Update the chosen models' regressions, and the price.

        Args:
            batch: The queries, as `route` had them.
            rows: int64[k], which of them were served.
            model: int64[k], by which model.
            score: float64[k].
            cost: float64[k] nano-units.
        """
        for row, chosen, got, paid in zip(rows, model, score, cost, strict=True):
            x = self._context[int(batch.ids[row])]
            self._a *= self.FORGET
            self._b *= self.FORGET
            self._a += (1 - self.FORGET) * self._ridge
            self._a[chosen] += np.outer(x, x)
            self._b[chosen] += got * x
            ratio = paid / max(float(batch.cost[row, chosen]), 1.0)
            self._ratio[chosen] += self.RECENT * (ratio - self._ratio[chosen])
            self._paid += self.RECENT * (paid - self._paid)
            step = self.STEP * (self._paid / self._budget - 1)
            self._price = min(max(self._price + step, 0.0), self.HIGHEST)
