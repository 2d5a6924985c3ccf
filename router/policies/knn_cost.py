"""KNN-Cost: the most budget left, with costs from exact neighbours (baseline of the paper)."""

from __future__ import annotations

from router.policies.greedy_cost import GreedyCost


class KnnCost(GreedyCost):
    """Greedy-Cost on exact neighbours."""

    name = "knn-cost"
    estimator = "exact"
