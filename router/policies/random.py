"""Random: each query to any model it may go to, all equally likely (baseline of the paper)."""

from __future__ import annotations

import numpy as np

from router.arrays import Ints
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Batch, Decisions, Policy
from router.policies.draws import uniform
from router.policies.one_choice import reserve


class Random(Policy):
    """Blind to estimates and budgets. A model out of budget still draws its part of the queries,
    which are then lost, as in the paper."""

    name = "random"

    def __init__(self, catalog: ModelCatalog, seed: int = 0) -> None:
        super().__init__(catalog)
        self.seed = seed

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Draw by seed and query id."""
        choices = batch.allowed.sum(axis=1)
        # The draw-th allowed model of each row is where the running count first exceeds draw.
        draw = np.floor(uniform(batch.ids, self.seed, "random") * choices)
        running = batch.allowed.cumsum(axis=1)
        chosen = np.where(choices > 0, (running <= draw[:, None]).sum(axis=1), NONE)
        return reserve(chosen, batch, free, 1.0 / np.maximum(choices, 1))
