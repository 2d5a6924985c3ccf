"""Greedy-Cost: the model with the most budget left (baseline of the paper)."""

from __future__ import annotations

import numpy as np

from router.arrays import Ints
from router.policies.base import NONE, Batch, Decisions, Policy


class GreedyCost(Policy):
    """argmax_i of what is left of budget i once the reservations before this query are taken.

    The paper keeps its own account of *estimated* costs; here the engine's account is used, with
    the estimates of this batch on top, so that true costs correct it from batch to batch.
    """

    name = "greedy-cost"

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Take the richest model, or lose the query."""
        left = free.copy()
        model = np.full(len(batch.ids), NONE, dtype=np.int64)
        reason = []
        for row, allowed in enumerate(batch.allowed):
            if not allowed.any():
                reason.append("not_allowed")
                continue
            choice = int(np.where(allowed, left, -1).argmax())
            if batch.bound[row, choice] > left[choice]:
                reason.append("no_budget")
                continue
            left[choice] -= batch.bound[row, choice]
            model[row] = choice
            reason.append("best")
        return Decisions(model, reason, np.ones(len(batch.ids)))
