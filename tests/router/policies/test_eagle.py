"""Eagle: the best that the budget of a query can pay."""

from __future__ import annotations

import numpy as np
import pytest

from router.models.catalog import Model, ModelCatalog
from router.policies.base import NONE, Batch
from router.policies.eagle import Eagle

CATALOG = ModelCatalog(Model(name, 0, 1_000_000) for name in "abc")
BATCH = Batch(
    ids=["x", "y"],
    quality=np.array([[0.4, 0.6, 0.8], [0.7, 0.6, 0.5]]),
    cost=np.array([[1.0, 10.0, 100.0]] * 2),
    bound=np.array([[1, 10, 100]] * 2),
    allowed=np.ones((2, 3), np.bool_),
)


@pytest.mark.parametrize(
    ("money", "chosen"), [(300, [2, 0]), (30, [1, 0]), (5, [0, 0]), (0, [NONE, NONE])]
)
def test_the_best_that_a_query_can_pay(money: int, chosen: list[int]) -> None:
    """What is left over the arrivals to come is the most that a model may cost."""
    policy = Eagle(CATALOG)
    assert policy.plan(np.array([money, 0, 0]), 1.0)
    assert policy.route(BATCH, np.full(3, 1000)).model.tolist() == chosen


def test_before_a_plan_nothing_is_too_dear() -> None:
    """Without a budget the highest rating answers, or the next with room."""
    assert Eagle(CATALOG).route(BATCH, np.full(3, 1000)).model.tolist() == [2, 0]
    assert Eagle(CATALOG).route(BATCH, np.array([9, 9, 9])).model.tolist() == [0, 0]
