"""Every policy by the name that configuration, receipts and reports call it."""

from __future__ import annotations

from router.policies.base import Policy
from router.policies.batchsplit import BatchSplit
from router.policies.greedy_cost import GreedyCost
from router.policies.greedy_perf import GreedyPerf
from router.policies.knn_cost import KnnCost
from router.policies.knn_perf import KnnPerf
from router.policies.port import Port
from router.policies.predictor_cost import PredictorCost
from router.policies.predictor_perf import PredictorPerf
from router.policies.primal_dual import PrimalDual
from router.policies.random import Random
from router.policies.static_mix import StaticMix

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (
        PrimalDual,
        Port,
        Random,
        GreedyPerf,
        GreedyCost,
        KnnPerf,
        KnnCost,
        BatchSplit,
        StaticMix,
        PredictorPerf,
        PredictorCost,
    )
}
