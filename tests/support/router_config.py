"""The configuration and the parts of a router over the models of `recorded.FLEET`."""

from __future__ import annotations

from pathlib import Path

from router.budget.limits import LimitSet
from router.estimation.scorer import QueryScorer
from router.policies.base import Policy
from router.policies.primal_dual import PrimalDual
from streams.config.settings import Config, load
from streams.routing.build import Parts
from tests.support.recorded import CORE, FLEET

TEXT = """
[topics]
partitions = 2
[models.small]
input_price = "1"
output_price = "2"
budget.limit = 0.000001
[models.large]
input_price = "3"
output_price = "4"
budget.limit = 0.000002
budget.carry_over = {carry_over}
[policy]
expected_queries = 100
[newcomers]
budget = 0.5
[index]
path = "index"
"""
LIMITS = (1_000, 2_000)
"""Of the two models, nano-units."""


def router_config(folder: Path, carry_over: bool = False) -> Config:
    """Two models and two partitions."""
    file = folder / "sluice.toml"
    file.write_text(TEXT.format(carry_over=str(carry_over).lower()))
    return load(file, {"SLUICE_BROKER": "127.0.0.1:1"})


def router_parts(scorer: QueryScorer = CORE) -> Parts:
    """Parts whose first prices are 0."""

    def new_policy() -> Policy:
        policy = PrimalDual(FLEET)
        policy.restore({"version": 0, "prices": dict.fromkeys(FLEET.names, 0.0)})
        return policy

    limits = LimitSet.per_model(FLEET.names)
    return Parts(scorer, limits, dict(zip(FLEET.names, LIMITS, strict=True)), new_policy, trial=0.5)
