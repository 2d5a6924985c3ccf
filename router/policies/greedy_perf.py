"""Greedy-Perf: the highest estimated score, whatever it costs (baseline of the paper)."""

from __future__ import annotations

from router.arrays import Ints
from router.policies.base import Batch, Decisions, Policy
from router.policies.one_choice import best_allowed, reserve


class GreedyPerf(Policy):
    """argmax_i d̂_ij on k = 5 means over the approximate index."""

    name = "greedy-perf"

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Take the best-looking model, or lose the query."""
        return reserve(best_allowed(batch.quality, batch), batch, free)
