"""Primal-dual: the model whose estimated quality most exceeds its price (Sluice's default)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from router.arrays import Floats, Ints, even_rows
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Batch, Decisions, Policy
from router.policies.reserve import reserve_in_order
from router.pricing.demand import DemandForecast
from router.pricing.prices import Program, dual_prices


class PrimalDual(Policy):
    """Sends each query to the model of highest quality net of its price.

    argmax_i d̂_ij − γ_i·ĝ_ij where that is positive; the next best where there is no room.

    The prices γ come from the linear program (`pricing/prices.py`) over a sample of queries like
    those to come (`pricing/demand.py`), with the remaining budget over the expected remaining
    arrivals (Agrawal, Wang and Ye 2014; Li and Ye 2022), solved again every `every` arrivals. The
    first prices come from leave-one-out estimates of the history, so that no query is spent on a
    warm-up; without a history the sample is what has arrived.
    """

    name = "primal-dual"
    estimator = "best"

    def __init__(self, catalog: ModelCatalog, every: int = 250, window: int = 2000) -> None:
        """Start with prices of 0.

        Args:
            catalog: The models.
            every: Arrivals between two solutions.
            window: Queries in the sample of a solution.
        """
        super().__init__(catalog)
        self.every = every
        self.window = window
        self.version = 0
        self.gamma: Floats = np.zeros(len(catalog))
        self._forecast: DemandForecast | None = None
        self._quality: Floats = np.empty((0, len(catalog)))
        self._cost: Floats = np.empty((0, len(catalog)))
        self._unsolved = every

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Score, then reserve in order of arrival."""
        score = np.where(batch.allowed, batch.quality - self.gamma * batch.cost, -np.inf)
        score[np.isnan(score)] = -np.inf
        chosen = reserve_in_order(score, batch.bound, free)
        top = score.max(axis=1, initial=-np.inf)
        rows = np.arange(len(chosen))
        first = (chosen != NONE) & (score[rows, chosen] == top)
        reason = np.select(
            [first, chosen != NONE, top > 0, batch.allowed.any(axis=1)],
            ["best", "next_best", "no_budget", "not_worth"],
            "not_allowed",
        )
        preferred = np.where(top > 0, score.argmax(axis=1), NONE)
        return Decisions(chosen, reason.tolist(), np.ones(len(chosen)), self.version, preferred)

    def warm_start(self, quality: Floats, cost: Floats) -> None:
        """Forecast demand from an even sample of the history."""
        rows = even_rows(len(quality), self.window)
        self._forecast = None
        if len(rows):
            self._forecast = DemandForecast(quality[rows], cost[rows], self.window)

    def observe(self, quality: Floats, cost: Floats) -> None:
        """Add arrivals to the forecast, or to the sample where there is no history."""
        if self._forecast is not None:
            self._forecast.observe(quality, cost)
        else:
            self._quality = np.concatenate([self._quality, quality])[-self.window :]
            self._cost = np.concatenate([self._cost, cost])[-self.window :]
        self._unsolved += len(quality)

    def plan(self, remaining: Ints, expected: float) -> bool:
        """Solve the program for the remaining budget if `every` queries have arrived since."""
        if self._unsolved < self.every or expected <= 0:
            return False
        quality, cost = self._quality, self._cost
        if self._forecast is not None:
            quality, cost = self._forecast.sample(expected)
        if not len(quality):
            return False
        budget = np.maximum(remaining, 0) * (len(quality) / expected)
        near = self.gamma if self.version else None
        self.gamma = dual_prices(Program.per_model(quality, cost, budget), near)
        self.version += 1
        self._unsolved = 0
        return True

    def set_catalog(self, catalog: ModelCatalog) -> None:
        """Keep sample and prices of the models that stay; solve again at the next `plan`."""
        before = self.catalog
        if self._forecast is not None:
            self._forecast.set_catalog(catalog, before)
        self._quality = catalog.align(self._quality, before, -np.inf)
        self._cost = catalog.align(self._cost, before, 0.0)
        # Until the next solution, a newcomer's price is the highest of the others.
        self.gamma = catalog.align(self.gamma, before, self.gamma.max(initial=0.0))
        self.catalog = catalog
        self._unsolved = self.every

    def snapshot(self) -> dict[str, Any]:
        """Return the prices by model, and their version."""
        prices = dict(zip(self.catalog.names, self.gamma.tolist(), strict=True))
        return {"version": self.version, "prices": prices}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the prices; a model they do not name gets the highest of them.

        Raises:
            ValueError: The snapshot lacks a version or prices, or a price is negative or not
                finite.
        """
        version, prices = snapshot.get("version"), snapshot.get("prices")
        if not isinstance(version, int) or not isinstance(prices, Mapping):
            raise ValueError("a primal-dual snapshot holds a version and prices by model")
        dearest = max(prices.values(), default=0.0)
        gamma = np.array([prices.get(name, dearest) for name in self.catalog.names], np.float64)
        if not (np.isfinite(gamma) & (gamma >= 0)).all():
            raise ValueError(f"prices must be finite and at least 0: {dict(prices)}")
        self.version, self.gamma = version, gamma
