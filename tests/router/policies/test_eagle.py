"""Eagle: the best that the budget of a query can pay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from router.models.catalog import Model, ModelCatalog
from router.policies.base import NONE, Batch
from router.policies.eagle import Eagle
from router.pricing.coverage import Coverage

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


@pytest.mark.parametrize(
    ("money", "budget"),
    [([1000, 10, 20, 30], 6.0), ([30, 10, 20, 30], 3.0)],
    ids=["own", "shared"],
)
def test_a_budget_is_within_all_limits(money: list[int], budget: float) -> None:
    """It is the sum of the models' own, and at most what a limit over all of them holds."""
    policy = Eagle(CATALOG)
    both = Coverage.shared(3).extended(Coverage.per_model(CATALOG.names))
    policy.set_catalog(CATALOG, both)
    policy.plan(np.array(money), 10.0)
    assert policy.budget == budget


def test_limits_of_single_tenants_bound_nobody_else() -> None:
    """A tenant that has no money left takes none of the others' budget."""
    policy = Eagle(CATALOG)
    both = Coverage.shared(3).extended(Coverage.shared(3, "total\tshop"))
    some = replace(both, queries=np.array([[True, True], [True, False]]))
    policy.set_catalog(CATALOG, some)
    policy.plan(np.array([100, 0]), 10.0)
    assert policy.budget == 10.0


def test_a_fixed_budget_stays() -> None:
    """Whatever is left, a query may cost what its budget says."""
    policy = Eagle(CATALOG, fixed=10.0)
    policy.plan(np.array([10**6, 0, 0]), 1.0)
    assert policy.route(BATCH, np.full(3, 1000)).model.tolist() == [1, 0]


def test_games_move_ratings_and_are_published() -> None:
    """Ratings follow outcomes at once, and are published after enough of them."""
    policy = Eagle(CATALOG, {"a": 100.0, "b": 100.0}, every=3)
    assert policy.plan(np.zeros(3, np.int64), 1.0)
    for games in range(3):
        assert not policy.plan(np.zeros(3, np.int64), 1.0), games
        policy.learn("a", {"b": 1.0, "unknown": 0.0})
    assert policy.plan(np.zeros(3, np.int64), 1.0)
    ratings = policy.snapshot()["ratings"]
    assert ratings["a"] > 130 > 70 > ratings["b"]
    assert ratings["a"] + ratings["b"] == pytest.approx(200.0)


@pytest.mark.parametrize(
    "state",
    [{"budget": None, "ratings": {"a": "x"}}, {"budget": None}, {"ratings": {}}],
    ids=["text", "no ratings", "no budget"],
)
def test_other_states_are_refused(state: dict[str, object]) -> None:
    """A snapshot without numbers replaces nothing."""
    policy = Eagle(CATALOG, {"a": 1.0})
    with pytest.raises(ValueError, match="snapshot"):
        policy.restore(state)
    assert policy.ratings == {"a": 1.0}
