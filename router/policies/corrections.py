"""Corrections of estimates by outcomes, model by model, where chance would hardly explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from router.arrays import Bools, Floats
from router.models.catalog import Model, ModelCatalog
from router.policies.base import Batch

FORGET = 0.99
"""Weight of an outcome against the model's next one."""
FADE = 0.5 ** (1 / 500)
"""Weight of an outcome after an arrival."""
SURE = 4.0
"""Standard errors by which a mean difference must exceed 0."""
FEW = 10
"""Outcomes, by their weight, below which nothing is certain."""
LEAST_VARIANCE = 1e-4
LEAST_FACTOR = 0.05
"""A cost is never estimated at less than that part of its estimate."""
MOVED = 0.05
"""A correction that moves by less is no reason to solve prices before it is time."""


class Corrections:
    """What outcomes say beyond their estimates, of M models.

    A model's scores and costs are compared with their estimates, older outcomes weighing less. Only
    a mean difference of more than four standard errors corrects: where nothing changes, nothing
    does. A correction that no outcome renews fades, so the model is tried again.

    Attributes:
        shift: float64[M], added to estimated scores.
        factor: float64[M], multiplies estimated costs.
    """

    def __init__(self, catalog: ModelCatalog, on: bool = True) -> None:
        """Begin without any.

        Args:
            catalog: The M models.
            on: Whether outcomes count; else all estimates stay as they are.
        """
        self._catalog = catalog
        self._on = on
        self._sums: Floats = np.zeros((5, len(catalog)))
        self.shift: Floats = np.zeros(len(catalog))
        self.factor: Floats = np.ones(len(catalog))

    def fade(self, arrivals: int) -> None:
        """Let outcomes weigh less after so many arrivals."""
        if self._on:
            self._sums *= FADE**arrivals
            self._settle()

    def learn(self, models: Sequence[str], scores: Floats, costs: Floats) -> bool:
        """See k outcomes.

        Args:
            models: k names; those of models that are not known are passed over.
            scores: float64[k], each score less its estimate.
            costs: float64[k], each cost over its estimate.

        Returns:
            Whether a correction has moved by much.
        """
        if not self._on:
            return False
        before = self.shift, self.factor
        for name, score, cost in zip(models, scores.tolist(), costs.tolist(), strict=True):
            if (model := self._catalog.index.get(name)) is not None:
                self._sums[:, model] *= FORGET
                self._sums[:, model] += (1.0, score, cost - 1, score**2, (cost - 1) ** 2)
        self._settle()
        pairs = zip(before, (self.shift, self.factor), strict=True)
        return any(bool((np.abs(old - new) > MOVED).any()) for old, new in pairs)

    def batch(self, batch: Batch) -> Batch:
        """Return queries to decide, as outcomes correct their estimates."""
        if not self._on:
            return batch
        quality, cost = self.tables(batch.quality, batch.cost)
        return replace(batch, quality=quality, cost=cost)

    def tables(self, quality: Floats, cost: Floats, *others: Floats) -> list[Floats]:
        """Return estimated scores and costs, float64[n, M] each, as outcomes correct them.

        Scores stay from 0 to 1 where they were; those of pairs that are not possible stay, and so
        do other tables.
        """
        if not self._on:
            return [quality, cost, *others]
        low, high = np.minimum(quality, 0.0), np.maximum(quality, 1.0)
        return [np.clip(quality + self.shift, low, high), cost * self.factor, *others]

    def set_catalog(self, catalog: ModelCatalog) -> None:
        """Follow a change of models; what was learned is kept by name."""
        self._sums = catalog.align(self._sums, self._catalog, 0.0)
        self._catalog = catalog
        self._settle()

    def snapshot(self) -> dict[str, list[float]]:
        """Return the sums by model, of those that have had outcomes."""
        return {
            name: column
            for name, column in zip(self._catalog.names, self._sums.T.tolist(), strict=True)
            if column[0]
        }

    def entry(self) -> dict[str, Any]:
        """Return what a policy's snapshot holds of them: nothing where outcomes do not count."""
        return {"corrections": self.snapshot()} if self._on else {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace all by a snapshot.

        Raises:
            ValueError: It is none.
        """
        if not self._on:
            return
        sums = np.zeros((5, len(self._catalog)))
        for name, column in snapshot.items():
            numbers = np.array(column, dtype=np.float64)
            if numbers.shape != (5,) or not np.isfinite(numbers).all():
                raise ValueError(f"corrections of a model are five finite numbers: {column}")
            if name in self._catalog.index:
                sums[:, self._catalog.index[name]] = numbers
        self._sums = sums
        self._settle()

    def _settle(self) -> None:
        """Correct by what is certain now."""
        self.shift = self._certain(1)
        self.factor = np.maximum(1.0 + self._certain(2), LEAST_FACTOR)

    def _certain(self, row: int) -> Floats:
        """Return float64[M], the mean differences that are not chance, else 0."""
        weight = np.maximum(self._sums[0], 1e-9)
        mean = self._sums[row] / weight
        spread = np.sqrt(np.maximum(self._sums[row + 2] / weight - mean**2, LEAST_VARIANCE))
        sure: Bools = (np.abs(mean) > SURE * spread / np.sqrt(weight)) & (weight >= FEW)
        return np.where(sure, mean, 0.0)


def by_model(snapshot: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return what a snapshot adds to each model's estimated score, and multiplies its cost by.

    Raises:
        ValueError: It is no snapshot.
    """
    known = Corrections(ModelCatalog(Model(name, 0, 0) for name in snapshot))
    known.restore(snapshot)
    pairs = zip(known.shift.tolist(), known.factor.tolist(), strict=True)
    return dict(zip(snapshot, pairs, strict=True))
