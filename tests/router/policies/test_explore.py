"""Exploration on top of a policy: its draws, its budgets, and its propensities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policies.base import NONE, Batch
from router.policies.explore import Explore
from router.policies.primal_dual import PrimalDual
from tests.router.policies.test_policies import batch_of, catalog, check, free_of, same

MODELS = 3


def explore(share: float, seed: int = 0, models: int = MODELS) -> Explore:
    policy = Explore(PrimalDual(catalog(*(f"m{i}" for i in range(models)))), share, seed)
    history = batch_of(1, 30, models)
    policy.warm_start(history.quality, history.cost)
    policy.plan(np.full(models, 2_000), 60.0)
    return policy


@given(st.integers(0, 2**32), st.integers(0, 12), st.floats(0, 1))
def test_every_promise_of_a_policy_holds(seed: int, n: int, share: float) -> None:
    """Allowed models only, within budgets, with propensities and reasons as they should be."""
    batch, free = batch_of(seed, n, MODELS), free_of(seed, MODELS)
    policy = explore(share)
    decisions = policy.route(batch, free)
    check(decisions, batch, free)
    same(decisions, policy.route(batch, free))


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 12))
def test_cuts_of_the_arrivals_do_not_matter(seed: int, n: int, cut: int) -> None:
    """A batch at once, or in two with the money left by the first: the same decisions."""
    batch, free = batch_of(seed, n, MODELS), free_of(seed, MODELS)
    policy, cut = explore(0.4), min(cut, n)
    whole = policy.route(batch, free)
    first = policy.route(_part(batch, 0, cut), free)
    left = free.copy()
    for row, model in enumerate(first.model):
        if model != NONE:
            left[model] -= batch.bound[row, model]
    second = policy.route(_part(batch, cut, n), left)
    assert whole.model.tolist() == [*first.model, *second.model]
    assert whole.propensity.tolist() == [*first.propensity, *second.propensity]


@given(st.integers(0, 2**32), st.integers(0, 12))
def test_no_share_changes_nothing(seed: int, n: int) -> None:
    """With share 0 decisions, reasons and propensities are the policy's own."""
    batch, free = batch_of(seed, n, MODELS), free_of(seed, MODELS)
    policy = explore(0.0)
    same(policy.route(batch, free), policy.policy.route(batch, free))
    assert policy.name == "primal-dual"


def test_propensities_are_the_frequencies_of_the_draws() -> None:
    """Over many seeds a single query goes to each model as often as the receipt says."""
    batch, free = batch_of(3, 1, MODELS, allowed=1.1), np.full(MODELS, 10_000)
    said: dict[int, float] = {}
    count = np.zeros(MODELS)
    rounds = 4000
    for seed in range(rounds):
        decisions = explore_cached(0.5, seed).route(batch, free)
        model = int(decisions.model[0])
        count[model] += 1
        said[model] = float(decisions.propensity[0])
    assert sum(said.values()) == pytest.approx(1.0)
    for model, chance in said.items():
        assert count[model] / rounds == pytest.approx(chance, abs=0.03)


_policy = explore(0.5)


def explore_cached(share: float, seed: int) -> Explore:
    return Explore(_policy.policy, share, seed)


def test_broke_models_are_not_drawn() -> None:
    """Only models with room for the reservation are drawn, and counted in the propensity."""
    batch = batch_of(5, 40, MODELS, allowed=1.1)
    free = np.array([0, 1_000_000, 1_000_000])
    decisions = explore(1.0).route(batch, free)
    assert set(decisions.model.tolist()) == {1, 2}
    assert set(decisions.reason) == {"explore"}
    assert decisions.propensity.tolist() == [0.5] * 40


def test_prices_travel_under_the_policys_name() -> None:
    """A snapshot of one restores the other, explored or not."""
    policy = explore(0.5)
    other = PrimalDual(policy.catalog)
    other.restore(policy.snapshot())
    assert other.snapshot() == policy.snapshot()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_a_share(share: float) -> None:
    """What is not between 0 and 1 is refused."""
    with pytest.raises(ValueError, match="share"):
        Explore(PrimalDual(catalog("a")), share)


def _part(batch: Batch, start: int, end: int) -> Batch:
    return Batch(
        batch.ids[start:end],
        batch.quality[start:end],
        batch.cost[start:end],
        batch.bound[start:end],
        batch.allowed[start:end],
    )


def dear(n: int) -> Batch:
    """Alike queries; the third model costs ten times as much as the others."""
    shape = (n, MODELS)
    cost = np.broadcast_to([10.0, 10.0, 100.0], shape)
    return Batch(
        ids=[f"q{i}" for i in range(n)],
        quality=np.broadcast_to([0.9, 0.5, 0.5], shape),
        cost=cost,
        bound=cost.astype(np.int64),
        allowed=np.ones(shape, dtype=np.bool_),
    )


def test_draws_use_a_part_of_the_money() -> None:
    """They cost the part that they may, though a dear model is among them; without a bound they
    cost more than half."""
    batch, free = dear(2_500), np.full(MODELS, 2**60)
    names = catalog(*(f"m{i}" for i in range(MODELS)))
    spent = {}
    for money in (0.2, 1.0):
        decisions = Explore(PrimalDual(names), 0.3, money=money).route(batch, free)
        cost = batch.cost[np.arange(len(batch.ids)), decisions.model]
        explored = np.array([reason == "explore" for reason in decisions.reason])
        spent[money] = float(cost[explored].sum() / cost.sum())
        counts = np.bincount(decisions.model[explored], minlength=MODELS)
        assert counts.all()
    assert spent[0.2] == pytest.approx(0.2, abs=0.07)
    assert spent[1.0] > 0.5


def test_propensities_under_a_bound_in_money() -> None:
    """They are the frequencies of the choices, and sum to one."""
    batch, free = dear(2_500), np.full(MODELS, 2**60)
    names = catalog(*(f"m{i}" for i in range(MODELS)))
    decisions = Explore(PrimalDual(names), 0.3, money=0.2).route(batch, free)
    shares = np.bincount(decisions.model, minlength=MODELS) / len(batch.ids)
    told = [float(decisions.propensity[decisions.model == model][0]) for model in range(MODELS)]
    assert sum(told) == pytest.approx(1.0)
    assert shares == pytest.approx(told, abs=0.02)


def test_no_money_no_draws() -> None:
    """With a part of 0 the decisions are the policy's own."""
    batch, free = dear(200), np.full(MODELS, 2**60)
    names = catalog(*(f"m{i}" for i in range(MODELS)))
    policy = Explore(PrimalDual(names), 0.3, money=0.0)
    assert policy.route(batch, free).model.tolist() == [0] * 200
