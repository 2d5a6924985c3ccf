"""The static mix: fixed shares, and shares for what is left at the end."""

from __future__ import annotations

import numpy as np
import pytest

from router.models.catalog import Model, ModelCatalog
from router.policies.base import NONE, Batch
from router.policies.static_mix import StaticMix

N = 400


@pytest.fixture
def mix() -> StaticMix:
    """One model that scores 1 and costs 10, and money for half of the queries."""
    policy = StaticMix(ModelCatalog([Model("only", 0, 1_000_000)]))
    policy.warm_start(np.ones((5, 1)), np.full((5, 1), 10.0))
    policy.plan(np.array([N // 2 * 10]), float(N))
    return policy


def arrivals(count: int) -> Batch:
    shape = (count, 1)
    return Batch(
        ids=[f"q{row}" for row in range(count)],
        quality=np.ones(shape),
        cost=np.full(shape, 10.0),
        bound=np.full(shape, 10, dtype=np.int64),
        allowed=np.ones(shape, dtype=np.bool_),
    )


def sent(policy: StaticMix, count: int = N) -> list[bool]:
    decisions = policy.route(arrivals(count), np.array([10**9]))
    return [bool(model != NONE) for model in decisions.model]


def test_shares_stay_while_queries_are_expected(mix: StaticMix) -> None:
    """However many wait, and whatever is left."""
    before = sent(mix)
    assert mix.share == pytest.approx([0.5])
    assert not mix.plan(np.array([10**9]), 1.0, waiting=200.0)
    assert sent(mix) == before


def test_what_waits_at_the_end_shares_what_is_left(mix: StaticMix) -> None:
    """It draws anew by the shares for it, in every process that restores them."""
    before = sent(mix)
    assert mix.plan(np.array([1_000]), 0.0, waiting=200.0)
    assert mix.share == pytest.approx([0.5])
    after = sent(mix)
    assert after != before
    other = StaticMix(mix.catalog)
    other.restore(mix.snapshot())
    assert sent(other) == after
    assert mix.plan(np.array([2_000]), 0.0, waiting=200.0)
    assert all(sent(mix))


def test_a_limit_that_holds_nothing_leaves_the_other_models() -> None:
    """Whatever dear answers cost; a free model takes all that is worth something."""
    policy = StaticMix(ModelCatalog([Model("free", 0, 0), Model("dear", 0, 10**9)]))
    policy.warm_start(np.array([[0.2, 0.9]]), np.array([[0.0, 1e11]]))
    assert policy.plan(np.array([0, 0]), 400.0)
    assert policy.share == pytest.approx([1.0, 0.0])
