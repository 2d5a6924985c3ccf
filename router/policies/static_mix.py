"""Static mix: the best fixed shares of the traffic for the same money, blind to the query.

The control that any router must beat: it knows what models score and cost on average, and the
budgets, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import linprog

from router.arrays import Floats, Ints
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Batch, Decisions, Policy
from router.policies.baselines import reserve
from router.policies.draws import uniform
from router.pricing.coverage import Coverage

LEAST_SHARE = 1e-12
"""A model that money holds less of gets none: no solver takes numbers of such sizes together."""


class StaticMix(Policy):
    """Routes fixed shares of the traffic, solved once from the history's means.

    max Σ p_i d̄_i  with  N Σ_i p_i ā_ri ≤ B_r,  Σ p_i ≤ 1: shares p from means over the history.

    Each query draws its model from p (by seed and id); the rest of the shares is deferred. Without
    means, all models are equally likely. When no more arrivals are expected and queries wait, p is
    solved for these and what is left, and they draw again.
    """

    name = "static-mix"
    estimator = "means"

    def __init__(self, catalog: ModelCatalog, seed: int = 0) -> None:
        super().__init__(catalog)
        self.seed = seed
        self.share = np.full(len(catalog), 1.0 / max(len(catalog), 1))
        self.quality: Floats | None = None
        self.cost: Floats | None = None
        self.solved = False
        self.late = 0
        """Solutions for what waits."""

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Draw a model, or none, by the shares."""
        edges = np.cumsum(self.share)
        purpose = f"static-mix {self.late}" if self.late else "static-mix"
        chosen = np.searchsorted(edges, uniform(batch.ids, self.seed, purpose), side="right")
        drawn = chosen < len(self.catalog)
        row = np.flatnonzero(drawn)
        may = np.zeros(len(chosen), dtype=np.bool_)
        may[row] = batch.allowed[row, chosen[row]]
        decisions = reserve(np.where(may, chosen, NONE), batch, free)
        reason = [
            word if is_drawn else "not_worth"
            for word, is_drawn in zip(decisions.reason, drawn, strict=True)
        ]
        chance = np.append(self.share, max(0.0, 1.0 - edges[-1]) if len(edges) else 1.0)
        return Decisions(decisions.model, reason, np.clip(chance[chosen], 1e-12, 1.0))

    def warm_start(self, quality: Floats, cost: Floats, *others: Floats) -> None:
        """Take the means of the history. Limits in other units than money are left aside."""
        if len(quality):
            self.quality = quality.mean(axis=0)
            self.cost = cost.mean(axis=0)

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        """Solve for the shares once: they stay fixed until only queries that wait are left."""
        late = self.solved and waiting > 0 and float(np.max(expected, initial=0.0)) <= 0
        if self.quality is None or self.cost is None or not len(self.catalog):
            return False
        if self.solved and not late:
            return False
        self.late += late
        money = self.limits.unit == 0
        sharing = np.maximum(waiting if late else expected, 1.0)
        room = np.maximum(remaining / sharing, 1e-9)[money]
        drawn = np.where(self.limits.models[money], self.cost, 0.0) / room[:, None]
        open_to = (drawn < LEAST_SHARE**-1).all(axis=0)
        drawn = np.where(open_to, drawn, 0.0)
        everything = np.ones((1, len(self.catalog)))
        result = linprog(
            -self.quality,
            A_ub=np.concatenate([drawn, everything]),
            b_ub=np.ones(len(drawn) + 1),
            bounds=np.column_stack([np.zeros(len(open_to)), open_to]),
            method="highs",
        )
        self.share = np.clip(result.x, 0.0, 1.0)
        self.solved = True
        return True

    def set_catalog(self, catalog: ModelCatalog, limits: Coverage | None = None) -> None:
        """Keep means and shares of the models that stay; solve again at the next `plan`."""
        before = self.catalog
        if self.quality is None or self.cost is None:
            self.share = np.full(len(catalog), 1.0 / max(len(catalog), 1))
        else:
            usual = float(self.quality.mean()) if len(before) else 0.5
            self.quality = catalog.align(self.quality, before, usual)
            self.cost = catalog.align(self.cost, before, self.cost.max(initial=1.0))
            self.share = catalog.align(self.share, before, 0.0)
        self.solved = False
        super().set_catalog(catalog, limits)

    def snapshot(self) -> dict[str, Any]:
        """Return shares and means by model, and whether the shares are solved."""
        return {
            "share": _by_model(self.catalog, self.share),
            "quality": None if self.quality is None else _by_model(self.catalog, self.quality),
            "cost": None if self.cost is None else _by_model(self.catalog, self.cost),
            "solved": self.solved,
            "late": self.late,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the state; models that the snapshot does not name keep what they have.

        Raises:
            ValueError: It is not a snapshot of static-mix.
        """
        try:
            self.share = _of_model(self.catalog, snapshot["share"], self.share)
            for field in ("quality", "cost"):
                given = snapshot[field]
                means = None if given is None else _of_model(self.catalog, given, None)
                setattr(self, field, means)
            self.solved = bool(snapshot["solved"])
            self.late = int(snapshot.get("late", 0))
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no snapshot of static-mix: {error!r}") from error


def _by_model(catalog: ModelCatalog, values: Floats) -> dict[str, float]:
    return {name: float(value) for name, value in zip(catalog.names, values, strict=True)}


def _of_model(catalog: ModelCatalog, given: Mapping[str, float], default: Floats | None) -> Floats:
    fallback = default if default is not None else np.zeros(len(catalog))
    pairs = zip(catalog.names, fallback, strict=True)
    return np.array([float(given.get(name, other)) for name, other in pairs])
