"""Predictor-Cost: the most budget left, with predicted costs (for the paper's Roberta-Cost).

On the predictor see `router/policies/predictor_perf.py`.
"""

from __future__ import annotations

from router.policies.greedy_cost import GreedyCost


class PredictorCost(GreedyCost):
    """Greedy-Cost on predicted costs."""

    name = "predictor-cost"
    estimator = "predictor"
