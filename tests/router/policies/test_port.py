"""PORT, as its authors coded it."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from router.models.catalog import Model, ModelCatalog
from router.policies.base import NONE, Batch
from router.policies.port import Port
from schemas.fields import NANO


def catalog(models: int) -> ModelCatalog:
    return ModelCatalog(Model(f"m{i}", 0, 1_000_000) for i in range(models))


def batch(n: int, models: int, seed: int = 0, start: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    cost = random.uniform(1e4, 1e6, (n, models))
    return Batch(
        ids=[str(start + i) for i in range(n)],
        quality=random.uniform(0, 1, (n, models)),
        cost=cost,
        bound=np.ceil(cost).astype(np.int64),
        allowed=np.ones((n, models), dtype=np.bool_),
    )


PLENTY = np.full(3, 10**12)


def test_warm_up_draws_from_all_models_and_drop() -> None:
    """The first ε·N queries are drawn uniformly from M + 1 choices, the last being to drop."""
    policy = Port(catalog(3), epsilon=0.5)
    policy.plan(PLENTY, 8000.0)
    decisions = policy.route(batch(4000, 3), PLENTY)
    share = np.bincount(decisions.model + 1, minlength=4) / 4000
    assert_allclose(share, 0.25, atol=0.03)
    assert set(decisions.reason) == {"warmup", "dropped"}
    assert_array_equal(decisions.propensity, np.full(4000, 0.25))


def test_the_warm_up_ends_after_its_queries_and_in_the_middle_of_a_batch() -> None:
    """Query ε·N is the first to be scored, on prices of those before it."""
    policy = Port(catalog(3), epsilon=0.1)
    policy.plan(PLENTY, 1000.0)
    queries = batch(256, 3)
    decisions = policy.route(queries, PLENTY)
    assert set(decisions.reason[:100]) <= {"warmup", "dropped"}
    assert set(decisions.reason[100:]) == {"best"}
    policy.observe(queries.quality, queries.cost)
    policy.plan(PLENTY, 744.0)
    assert policy.snapshot()["prices"] is not None
    assert_array_equal(policy.route(queries, PLENTY).model[100:], decisions.model[100:])


def test_prices_come_from_the_box_and_are_solved_once() -> None:
    """γ lies in [0, 1] of the authors' unit, and later plans do not touch it."""
    policy = Port(catalog(3), epsilon=0.1)
    policy.plan(np.full(3, 10**7), 1000.0)
    queries = batch(256, 3)
    policy.observe(queries.quality, queries.cost)
    assert policy.plan(np.full(3, 10**6), 744.0)
    prices = policy.snapshot()["prices"]
    assert all(0 <= price <= 1 for price in prices.values())
    assert not policy.plan(np.full(3, 10**5), 488.0)
    assert policy.snapshot()["prices"] == prices


def test_no_max_with_zero_and_no_second_choice() -> None:
    """After the warm-up every query is sent to its best model, worth it or not; where that has no
    money, the query is lost."""
    policy = Port(catalog(2), epsilon=0.0)
    policy.plan(np.array([10**6, 10**6]), 100.0)
    policy.plan(np.array([10**6, 10**6]), 100.0)
    policy.restore(policy.snapshot() | {"prices": {"m0": 0.5, "m1": 1.0}})
    queries = Batch(
        ids=["a", "b"],
        quality=np.array([[0.1, 0.1], [0.1, 0.1]]),
        cost=np.full((2, 2), float(NANO)),
        bound=np.full((2, 2), 10, dtype=np.int64),
        allowed=np.ones((2, 2), dtype=np.bool_),
    )
    decisions = policy.route(queries, np.array([10, 1000]))
    assert_array_equal(decisions.model, [0, NONE])
    assert list(decisions.reason) == ["best", "no_budget"]


def test_seed_decides_the_warm_up() -> None:
    """The same seed draws the same, another one does not."""
    models = []
    for seed in (0, 0, 1):
        policy = Port(catalog(3), seed=seed, epsilon=1.0)
        policy.plan(PLENTY, 100.0)
        models.append(policy.route(batch(100, 3), PLENTY).model)
    assert_array_equal(models[0], models[1])
    assert (models[0] != models[2]).any()
