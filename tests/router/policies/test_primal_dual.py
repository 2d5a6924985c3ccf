"""Primal-dual, and reservations in order of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from router.arrays import Floats, Ints
from router.models.catalog import Model, ModelCatalog
from router.policies.base import NONE, Batch
from router.policies.primal_dual import PrimalDual
from router.policies.reserve import reserve_in_order


def catalog(*names: str) -> ModelCatalog:
    return ModelCatalog(Model(name, 0, 1_000_000) for name in names)


def batch(quality: list[list[float]], cost: list[list[float]]) -> Batch:
    bound = np.array(cost).astype(np.int64)
    return Batch(
        ids=[str(i) for i in range(len(quality))],
        quality=np.array(quality),
        cost=np.array(cost),
        bound=bound,
        allowed=np.ones(bound.shape, dtype=np.bool_),
    )


def one_by_one(score: Floats, bound: Ints, free: Ints) -> Ints:
    """What `reserve_in_order` promises, said plainly."""
    left, chosen = free.copy(), []
    for row in range(len(score)):
        ranked = np.argsort(-score[row], kind="stable")
        fitting = [m for m in ranked if score[row, m] > 0 and bound[row, m] <= left[m]]
        chosen.append(fitting[0] if fitting else NONE)
        if fitting:
            left[fitting[0]] -= bound[row, fitting[0]]
    return np.array(chosen, dtype=np.int64)


@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(1, 5), st.floats(0.0, 2.0))
def test_reserve_is_the_loop(seed: int, n: int, models: int, plenty: float) -> None:
    """On arrays as in a loop over the queries, however scarce the money is."""
    random = np.random.default_rng(seed)
    score = random.normal(size=(n, models)).round(1)
    score[random.uniform(size=score.shape) < 0.1] = -np.inf
    bound = random.integers(0, 30, (n, models))
    free = random.integers(0, 1 + int(30 * max(n, 1) * plenty / models), models)
    before = free.copy()
    batch = Batch([str(row) for row in range(len(score))], score, score, bound, score > 0)
    assert_array_equal(reserve_in_order(score, batch, free), one_by_one(score, bound, free))
    assert_array_equal(free, before)


def test_next_best_takes_over() -> None:
    """A query whose best model has no room goes to the next of positive score, and says so."""
    policy = PrimalDual(catalog("a", "b"))
    queries = batch([[0.9, 0.5], [0.9, 0.5], [0.9, 0.5]], [[10, 10], [10, 10], [10, 10]])
    decisions = policy.route(queries, np.array([10, 10]))
    assert_array_equal(decisions.model, [0, 1, NONE])
    assert list(decisions.reason) == ["best", "next_best", "no_budget"]


def test_not_worth_its_price() -> None:
    """A query is deferred when every model costs more than it brings."""
    policy = PrimalDual(catalog("a", "b"))
    policy.restore({"version": 3, "prices": {"a": 0.1, "b": 0.1}})
    decisions = policy.route(batch([[0.9, 0.5]], [[10, 10]]), np.array([100, 100]))
    assert_array_equal(decisions.model, [NONE])
    assert (list(decisions.reason), decisions.version) == (["not_worth"], 3)


@pytest.mark.parametrize("cost", [7.0, 10.0, 13.3])
@pytest.mark.parametrize("quality", [0.3, 0.7, 1.0])
def test_identical_queries_fill_the_budget_in_order(quality: float, cost: float) -> None:
    """Sixty identical queries are worth exactly their price: the first are served while there is
    money, the rest wait for more of it, in one batch or many."""
    policy = PrimalDual(catalog("a", "b"))
    queries = batch([[quality, 0.0]] * 60, [[cost, cost]] * 60)
    policy.observe(queries.quality, queries.cost)
    free = np.array([5 * int(cost) + 1, 10**9])
    assert policy.plan(free, 60.0)
    whole = policy.route(queries, free)
    assert whole.model.tolist() == [0] * 5 + [NONE] * 55
    assert list(whole.reason) == ["best"] * 5 + ["no_budget"] * 55
    assert whole.preferred is not None
    assert whole.preferred.tolist() == [0] * 60
    apart, left = [], free
    for row in range(60):
        one = queries.take(slice(row, row + 1))
        decisions = policy.route(one, left)
        left = left - one.drawn(decisions.model).sum(axis=1)
        apart += decisions.model.tolist()
    assert apart == whole.model.tolist()


def test_a_tie_comes_after_what_is_worth_more_than_its_price() -> None:
    """Where a better model has no room, one that is worth exactly its price takes the query; what
    brings nothing at no price goes nowhere."""
    policy = PrimalDual(catalog("a", "b"))
    policy.restore({"version": 1, "prices": {"a": 0.09, "b": 0.0}})
    decisions = policy.route(batch([[0.9, 0.1]] * 3, [[10, 10]] * 3), np.array([10, 10]))
    assert decisions.model.tolist() == [1, 0, NONE]
    assert list(decisions.reason) == ["best", "next_best", "no_budget"]
    nothing = policy.route(batch([[0.0, 0.0]], [[10, 10]]), np.array([10, 10]))
    assert list(nothing.reason) == ["not_worth"]


def test_warm_start_prices_before_any_arrival() -> None:
    """With a history, the first plan has prices; scarce money is dear."""
    random = np.random.default_rng(0)
    quality, cost = random.uniform(0, 1, (500, 2)), random.uniform(5, 15, (500, 2))
    policy = PrimalDual(catalog("a", "b"))
    policy.warm_start(quality, cost)
    assert policy.plan(np.array([300, 10**9]), 1000.0)
    assert policy.gamma[0] > 0
    assert policy.gamma[1] == 0
    assert not policy.plan(np.array([300, 10**9]), 1000.0)


def test_solves_again_after_enough_arrivals() -> None:
    """Every `every` arrivals, counted however they are cut; with less money left, prices rise."""
    random = np.random.default_rng(0)
    policy = PrimalDual(catalog("a"), every=100, window=400)
    policy.warm_start(random.uniform(0, 1, (400, 1)), np.full((400, 1), 10.0))
    assert policy.plan(np.array([10_000]), 4000.0)
    dear, solved = policy.gamma.copy(), []
    for _ in range(4):
        policy.observe(random.uniform(0, 1, (30, 1)), np.full((30, 1), 10.0))
        solved.append(policy.plan(np.array([2000]), 4000.0))
    assert solved == [False, False, False, True]
    assert policy.gamma > dear
    assert policy.version == 2


def test_what_is_left_goes_to_the_best_of_what_waits() -> None:
    """After the last arrival the money that came free is for those that wait, the best of them
    first: prices neither stay as they were nor fall to nothing."""
    random = np.random.default_rng(0)
    policy = PrimalDual(catalog("a"), every=100)
    policy.warm_start(random.uniform(0, 1, (1000, 1)), np.full((1000, 1), 10.0))
    arrived = random.uniform(0, 1, (1000, 1))
    policy.plan(np.array([3000]), 1000.0)
    policy.observe(arrived, np.full((1000, 1), 10.0))
    policy.plan(np.array([1000]), 333.0)
    before = policy.gamma.item()
    policy.outdate()
    assert policy.plan(np.array([1000]), 1.0, waiting=700.0)  # the others cost 2000 of the 3000
    worst = np.sort(arrived[:, 0])[:700]
    assert 60 <= (worst > 10.0 * policy.gamma.item()).sum() <= 140
    assert 0.0 < policy.gamma.item() < before


def test_what_waits_is_counted_anew_in_another_window() -> None:
    """Queries of the window before do not make those that wait now look like its worst."""
    random = np.random.default_rng(0)
    policies = [PrimalDual(catalog("a"), every=100) for _ in range(2)]
    arrived = random.uniform(0, 1, (3000, 1))
    for policy, shown in zip(policies, (arrived, arrived[-500:]), strict=True):
        policy.warm_start(random.uniform(0, 1, (1000, 1)), np.full((1000, 1), 10.0))
        policy.plan(np.array([3000]), 3000.0)
        policy.observe(shown[:-500], np.full((len(shown) - 500, 1), 10.0))
        policy.plan(np.array([3000]), 1.0)
        policy.plan(np.array([3000]), 500.0)  # a new window begins
        policy.observe(shown[-500:], np.full((500, 1), 10.0))
        assert policy.plan(np.array([2000]), 1.0, waiting=400.0)
    assert policies[0].gamma == pytest.approx(policies[1].gamma, rel=0.05)


def test_registry_keeps_prices_by_name() -> None:
    """Models that stay keep their price, a newcomer costs what the dearest does, and the next
    plan solves for all."""
    random = np.random.default_rng(0)
    policy = PrimalDual(catalog("a", "b"))
    policy.warm_start(random.uniform(0, 1, (300, 2)), np.full((300, 2), 10.0))
    policy.plan(np.array([300, 900]), 300.0)
    before = dict(zip("ab", policy.gamma, strict=True))
    policy.set_catalog(catalog("c", "b"))
    assert_array_equal(policy.gamma, [max(before.values()), before["b"]])
    policy.observe(np.full((300, 2), 0.5), np.full((300, 2), 10.0))
    assert policy.plan(np.array([300, 900]), 300.0)


@pytest.mark.parametrize(
    "snapshot",
    [
        {},
        {"version": "1", "prices": {}},
        {"version": 1, "prices": {"a": -1.0}},
        {"version": 1, "prices": {"a": float("nan")}},
    ],
)
def test_refuses_a_strange_snapshot(snapshot: dict[str, object]) -> None:
    """Prices that are none are refused, and the old ones stay."""
    policy = PrimalDual(catalog("a"))
    with pytest.raises(ValueError, match="price"):
        policy.restore(snapshot)
    assert_array_equal(policy.gamma, [0.0])


def test_models_that_are_alike_share_the_queries() -> None:
    """The query's id draws one of them, whatever comes with it; models of another cost or quality
    do not share, and one that alone has room takes all."""
    count = 600
    policy = PrimalDual(catalog("a", "b", "c", "d"))
    alike = batch([[0.7, 0.7, 0.7 + 1e-12, 0.6]] * count, [[5.0, 5.0, 5.0, 1.0]] * count)
    free = np.full(4, 10**9)
    found = policy.route(alike, free)
    assert set(found.reason) == {"best"}
    drawn = np.bincount(found.model, minlength=4)
    assert drawn[3] == 0
    assert (np.abs(drawn[:3] - count / 3) < count / 10).all()
    part = policy.route(alike.take(slice(100, 101)), free)
    assert part.model[0] == found.model[100]
    other = batch([[0.7, 0.7, 0.7, 0.6]] * 50, [[5.0, 4.0, 5.0, 1.0]] * 50)
    assert set(policy.route(other, free).model.tolist()) == {0, 2}
    only = np.array([0, 10**9, 0, 0])
    assert set(policy.route(alike, only).model.tolist()) == {1}
