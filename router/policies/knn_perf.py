"""KNN-Perf: the highest mean score of the exact nearest neighbours (baseline of the paper)."""

from __future__ import annotations

from router.policies.greedy_perf import GreedyPerf


class KnnPerf(GreedyPerf):
    """Greedy-Perf on exact neighbours."""

    name = "knn-perf"
    estimator = "exact"
