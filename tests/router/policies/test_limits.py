"""Policies under limits that overlap: of money and requests, over some models and some tenants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from router.arrays import Floats, Ints
from router.models.catalog import Model, ModelCatalog
from router.policies import POLICIES
from router.policies.base import NONE, Batch, Policy
from router.policies.explore import Explore
from router.policies.primal_dual import PrimalDual
from router.policies.reserve import reserve_in_order
from router.pricing.coverage import Coverage

MODELS = 3
CATALOG = ModelCatalog(Model(name, 0, 1_000_000) for name in "abc")
every_policy = pytest.mark.parametrize("name", sorted(POLICIES))


def limited(seed: int, n: int, limits: int = 4) -> Batch:
    """n random queries under random limits; requests are whole, money is not."""
    random = np.random.default_rng(seed)
    cost: Floats = random.uniform(1, 100, (n, MODELS))
    coverage = Coverage(
        tuple(f"limit {i}" for i in range(limits)),
        random.integers(0, 2, limits),
        random.uniform(size=(limits, MODELS)) < 0.6,
        random.uniform(size=(limits, n)) < 0.7,
    )
    return Batch(
        ids=[f"{seed}-{i}" for i in range(n)],
        quality=random.uniform(0, 1, (n, MODELS)),
        cost=cost,
        bound=np.ceil(cost * 1.5).astype(np.int64),
        allowed=random.uniform(0, 1, (n, MODELS)) < 0.9,
        coverage=coverage,
        other_amounts=[np.ones((n, MODELS))],
        other_bounds=[np.ones((n, MODELS), dtype=np.int64)],
    )


def under(policy: Policy, batch: Batch) -> Policy:
    """The policy, once it knows the limits of a batch and has seen it as history."""
    limits = batch.limits
    policy.set_catalog(CATALOG, Coverage(limits.names, limits.unit, limits.models))
    policy.warm_start(batch.quality, batch.cost, *batch.other_amounts)
    policy.observe(batch.quality, batch.cost, *batch.other_amounts, queries=limits.queries)
    policy.plan(np.full(len(limits), 60), float(max(len(batch.ids), 1)))
    return policy


def one_by_one(score: Floats, batch: Batch, free: Ints) -> Ints:
    """What `reserve_in_order` promises, as a loop."""
    limits, left, chosen = batch.limits, free.copy(), []
    assert limits.queries is not None
    for row in range(len(score)):
        found = NONE
        for model in np.argsort(-score[row], kind="stable"):
            drawn = np.array(
                [
                    batch.bounds[limits.unit[limit]][row, model]
                    if limits.models[limit, model] and limits.queries[limit, row]
                    else 0
                    for limit in range(len(limits))
                ]
            )
            if score[row, model] > 0 and (drawn <= left).all():
                found, left = int(model), left - drawn
                break
        chosen.append(found)
    return np.array(chosen, dtype=np.int64)


@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 5), st.integers(1, 400))
def test_reserve_is_the_loop(seed: int, n: int, limits: int, most: int) -> None:
    """Every limit that covers a query holds it, or the next best model takes it."""
    random = np.random.default_rng(seed)
    batch = limited(seed, n, limits)
    score = random.normal(size=(n, MODELS)).round(1)
    free = random.integers(0, most, limits)
    assert_array_equal(reserve_in_order(score, batch, free), one_by_one(score, batch, free))


@every_policy
@given(seed=st.integers(0, 2**32), n=st.integers(0, 20))
@settings(max_examples=15)
def test_no_limit_is_exceeded(name: str, seed: int, n: int) -> None:
    """For any set of limits, also with exploration: what is reserved fits every one of them."""
    batch = limited(seed, n)
    free = np.random.default_rng(seed).integers(0, 300, len(batch.limits))
    known = under(POLICIES[name](CATALOG), batch)
    for policy in (known, Explore(known, 0.5)):
        decisions = policy.route(batch, free)
        assert (batch.drawn(decisions.model).sum(axis=1) <= free).all()
        sent = np.flatnonzero(decisions.model != NONE)
        assert batch.allowed[sent, decisions.model[sent]].all()


def test_prices_travel_by_the_limits_names() -> None:
    """A snapshot names limits; a policy under other limits takes over those that it has too."""
    batch = limited(1, 40)
    policy = under(PrimalDual(CATALOG), batch)
    prices = policy.snapshot()["prices"]
    assert list(prices) == list(batch.limits.names)
    assert max(prices.values()) > 0
    other = PrimalDual(CATALOG)
    other.set_catalog(CATALOG, Coverage.shared(MODELS, "limit 2"))
    other.restore(policy.snapshot())
    assert other.gamma.tolist() == [prices["limit 2"]]


def test_each_limit_has_its_own_time() -> None:
    """A limit that many more queries will share is dearer than one of the same amount for few."""
    random = np.random.default_rng(0)
    quality, cost = random.uniform(0, 1, (500, 2)), np.full((500, 2), 10.0)
    policy = PrimalDual(ModelCatalog(CATALOG.models[:2]))
    policy.warm_start(quality, cost)
    assert policy.plan(np.array([1000, 1000]), np.array([1000.0, 250.0]))
    assert policy.gamma[0] > policy.gamma[1]
