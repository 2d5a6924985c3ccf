"""PORT as its authors implemented it (arXiv 2509.02718), for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize

from router.arrays import Bools, Floats, Ints
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Batch, Decisions, Policy
from router.policies.baselines import best_allowed, reserve
from router.policies.draws import uniform
from router.policies.floors import Floor
from router.pricing.coverage import Coverage
from schemas.fields import NANO


class Port(Policy):
    """Warms up at random, solves its prices once, and then takes the best score.

    The warm-up is the first ε·N queries; the score is argmax_i α·d̂_ij − γ_i·ĝ_ij.

    Faithful also where the paper is not optimal: no max with 0 (every query is sent somewhere),
    draws that "drop" queries, no second choice (an over-budget query is lost), L-BFGS-B with
    numeric gradients on a non-smooth function, from 1/M, in the box [0, 1] (authors' code; paper,
    eq. 5). Where budgets are not one a model, γ has a price for each limit. N is the number of
    queries expected when the policy first learns its budgets. The number of neighbours belongs to
    the estimates.
    """

    name = "port"

    def __init__(
        self, catalog: ModelCatalog, seed: int = 0, alpha: float = 1e-4, epsilon: float = 0.025
    ) -> None:
        super().__init__(catalog)
        self.seed = seed
        self.alpha = alpha
        self.epsilon = epsilon
        self._seen = 0
        self._warm_up = 0
        self._amounts: Floats = np.zeros(len(self.limits))
        self._quality: Floats = np.empty((0, len(catalog)))
        self._cost: Floats = np.empty((0, len(catalog)))
        self._gamma: Floats | None = None

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Draw while warming up, then score. A warm-up may end in the middle of a batch."""
        n = len(batch.ids)
        drawn = min(max(self._warm_up - self._seen, 0), n) if self._gamma is None else 0
        chosen = np.full(n, NONE, dtype=np.int64)
        if drawn:
            draw = np.floor(uniform(batch.ids[:drawn], self.seed, "port") * (len(self.catalog) + 1))
            chosen[:drawn] = np.where(draw < len(self.catalog), draw, NONE)
        if drawn < n:
            gamma = self._gamma
            if gamma is None:
                gamma = self._solve(batch.quality[:drawn], batch.cost[:drawn])
            prices = batch.priced_by(self.limits, gamma)
            price = batch.limits.priced(prices, [batch.cost / NANO, *batch.other_amounts])
            score = self.alpha * batch.quality - price
            chosen[drawn:] = best_allowed(score, batch)[drawn:]
        rows = np.flatnonzero(chosen != NONE)
        refused = rows[~batch.allowed[rows, chosen[rows]]]
        chosen[refused] = NONE
        propensity = np.ones(n)
        propensity[:drawn] = 1.0 / (len(self.catalog) + 1)
        decisions = reserve(chosen, batch, free, propensity)
        reason = list(decisions.reason)
        dropped = set(range(drawn)) - set(refused.tolist())
        for row in range(drawn):
            if reason[row] == "best":
                reason[row] = "warmup"
            elif reason[row] == "not_allowed" and row in dropped:
                reason[row] = "dropped"
        return Decisions(decisions.model, reason, propensity, int(self._gamma is not None))

    def observe(
        self,
        quality: Floats,
        cost: Floats,
        *others: Floats,
        queries: Bools | None = None,
        floors: Sequence[Floor] | None = None,
    ) -> None:
        """Collect the estimates of the warm-up's queries."""
        if self._gamma is None:
            left = max(self._warm_up - self._seen, 0)
            self._quality = np.concatenate([self._quality, quality[:left]])
            self._cost = np.concatenate([self._cost, cost[:left]])
        self._seen += len(quality)

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        """Learn N and the budgets on the first call; solve γ once, when the warm-up is over."""
        if self._gamma is not None:
            return False
        if not self._amounts.any():
            self._amounts = remaining.astype(np.float64)
            self._warm_up = int(self.epsilon * (self._seen + float(np.max(expected))))
            return True
        if self._seen >= self._warm_up:
            self._gamma = self._solve(
                np.empty((0, len(self.catalog))), np.empty((0, len(self.catalog)))
            )
        return True

    def set_catalog(self, catalog: ModelCatalog, limits: Coverage | None = None) -> None:
        """Keep the prices of limits that stay; a new one's is the solver's starting point 1/M.

        The authors' code has no change of models; its prices are never solved again.
        """
        before, names = self.catalog, self.limits.names
        self._quality = catalog.align(self._quality, before, 0.0)
        self._cost = catalog.align(self._cost, before, 0.0)
        super().set_catalog(catalog, limits)
        self._amounts = self._by_limit(names, self._amounts, 0.0)
        if self._gamma is not None:
            self._gamma = self._by_limit(names, self._gamma, 1.0 / len(catalog))

    def _by_limit(self, names: Sequence[str], values: Floats, missing: float) -> Floats:
        known = dict(zip(names, values.tolist(), strict=True))
        return np.array([known.get(name, missing) for name in self.limits.names], np.float64)

    def snapshot(self) -> dict[str, Any]:
        """Return prices (quality times α per dollar) and the warm-up so far."""
        names = self.catalog.names
        return {
            "prices": None
            if self._gamma is None
            else dict(zip(self.limits.names, self._gamma.tolist(), strict=True)),
            "limits": dict(zip(self.limits.names, self._amounts.tolist(), strict=True)),
            "seen": self._seen,
            "warm_up": self._warm_up,
            "quality": [dict(zip(names, row, strict=True)) for row in self._quality.tolist()],
            "cost": [dict(zip(names, row, strict=True)) for row in self._cost.tolist()],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the state by a snapshot.

        Raises:
            ValueError: It is not a snapshot of port for these models.
        """
        names = self.catalog.names
        try:
            prices = snapshot["prices"]
            limits = self.limits.names
            gamma = None if prices is None else np.array([prices[name] for name in limits])
            amounts = np.array([snapshot["limits"][name] for name in limits], dtype=np.float64)
            shape = (len(snapshot["quality"]), len(names))
            quality = [[row[name] for name in names] for row in snapshot["quality"]]
            cost = [[row[name] for name in names] for row in snapshot["cost"]]
            seen, warm_up = int(snapshot["seen"]), int(snapshot["warm_up"])
            self._quality = np.array(quality, dtype=np.float64).reshape(shape)
            self._cost = np.array(cost, dtype=np.float64).reshape(shape)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a snapshot of port for these models: {error!r}") from error
        self._gamma, self._amounts, self._seen, self._warm_up = gamma, amounts, seen, warm_up

    def _solve(self, more_quality: Floats, more_cost: Floats) -> Floats:
        """γ in [0, 1] by the authors' solver on the samples and a batch's part of the warm-up.

        The authors' box [0, 1] is meant for costs in dollars.
        """
        quality = self.alpha * np.concatenate([self._quality, more_quality])
        cost = np.concatenate([self._cost, more_cost]) / NANO
        amounts = np.where(self.limits.unit == 0, self._amounts / NANO, self._amounts)
        start = np.full(len(amounts), 1.0 / len(self.catalog))
        if len(quality) == 0:
            return start

        def objective(gamma: Floats) -> float:
            price = self.limits.priced(gamma, [cost])
            return float(self.epsilon * gamma @ amounts + (quality - price).max(axis=1).sum())

        solved = minimize(objective, start, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(start))
        return np.asarray(solved.x, dtype=np.float64)
