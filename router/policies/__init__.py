"""Every policy by the name that configuration, receipts and reports call it."""

from __future__ import annotations

from router.policies.base import Policy
from router.policies.baselines import (
    GreedyCost,
    GreedyPerf,
    KnnCost,
    KnnPerf,
    PredictorCost,
    PredictorPerf,
    Random,
)
from router.policies.batchsplit import BatchSplit
from router.policies.eagle import Eagle
from router.policies.port import Port
from router.policies.primal_dual import PrimalDual
from router.policies.quality_floor import QualityFloor
from router.policies.static_mix import StaticMix

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (
        PrimalDual,
        QualityFloor,
        Eagle,
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
