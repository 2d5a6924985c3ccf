"""Models that no history tells of: what is said of them, and how they are tried."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.estimation.estimator import Estimates
from router.estimation.newcomers import with_newcomers
from router.estimation.scorer import UNSET, Mode, QueryScorer
from router.models.catalog import Model, ModelCatalog
from router.policies.base import NONE
from router.policies.explore import Explore
from router.policies.primal_dual import PrimalDual
from tests.router.estimation.test_scorer import core, wishes
from tests.router.policies.test_policies import batch_of, catalog, check, free_of, same

KNOWN, NEW = 3, 2
PRICED = ModelCatalog([Model("in-and-out", 1_000_000, 2_000_000), Model("free", 0, 0)])
NEWCOMER = Model("new", 3_000_000, 5_000_000, max_output_tokens=100)


def said(*costs: float) -> Estimates:
    """Estimates of one query."""
    cost = np.array([costs])
    quality = np.linspace(0.2, 0.8, len(costs))[None]
    return Estimates(
        quality, cost, 2 * cost, np.zeros((1, 1), np.int64), np.ones((1, 1), np.float32)
    )


def test_a_prior_is_the_mean_quality_and_the_tokens_that_others_costs_imply() -> None:
    """10 prompt tokens at 1 and 30 output tokens at 2 cost 70: at 3 and 5 they cost 180."""
    prompt = np.array([[10]])
    grown = with_newcomers(said(70.0, 0.0), PRICED, PRICED.extended([NEWCOMER]), prompt)
    assert grown.quality[0].tolist() == pytest.approx([0.2, 0.8, 0.5])
    assert grown.cost[0].tolist() == pytest.approx([70.0, 0.0, 180.0])
    assert grown.upper_cost[0, 2] == 10 * 3 + 100 * 5


@pytest.mark.parametrize(("cost", "tokens"), [(0.0, 1), (1e9, 100)])
def test_implied_tokens_stay_within_what_an_answer_has(cost: float, tokens: int) -> None:
    """Neither none nor more than the longest answer, whatever the costs say."""
    grown = with_newcomers(said(cost, 0.0), PRICED, PRICED.extended([NEWCOMER]), np.array([[10]]))
    assert grown.cost[0, 2] == 10 * 3 + tokens * 5


def test_without_prices_the_longest_answer_is_expected() -> None:
    """Where no known model has a price, costs imply nothing."""
    free = ModelCatalog(PRICED.models[1:])
    grown = with_newcomers(said(0.0), free, free.extended([NEWCOMER]), np.array([[10]]))
    assert grown.cost[0, 1] == grown.upper_cost[0, 1] == 530


@pytest.mark.parametrize("mode", ["max", "quantile"])
def test_a_newcomers_answer_is_never_cut_short(mode: Mode) -> None:
    """Its bound is the longest answer in either mode, unless the query says less; the columns of
    the others are what they were without it."""
    plain = core(mode)
    grown = plain.with_newcomers([NEWCOMER])
    assert isinstance(grown, QueryScorer)
    _, estimates = plain.estimate(["a word", "b word"])
    asked = wishes(2, max_tokens=[UNSET, 7])
    wider = np.ones((2, 3), dtype=np.bool_)
    before = plain.batch(estimates, asked)
    after = grown.batch(estimates, replace(asked, allowed=wider))
    assert after.output_tokens[:, 2].tolist() == [100, 7]
    assert after.batch.bound[:, 2].tolist() == [10 * 3 + 100 * 5, 10 * 3 + 7 * 5]
    assert [grown.bound_of(model) for model in range(3)] == [mode, mode, "max"]
    for field in ("quality", "cost", "bound", "allowed"):
        found = getattr(after.batch, field)[:, :2]
        assert found.tolist() == getattr(before.batch, field).tolist()


def trial(share: float, seed: int = 0) -> Explore:
    """A policy on KNOWN models with NEW newcomers after them."""
    names = [f"m{i}" for i in range(KNOWN + NEW)]
    policy = PrimalDual(catalog(*names[:KNOWN]))
    history = batch_of(1, 30, KNOWN)
    policy.warm_start(history.quality, history.cost)
    policy.plan(np.full(KNOWN, 2_000), 60.0)
    return Explore(policy, share, seed, catalog(*names))


@given(st.integers(0, 2**32), st.integers(0, 12), st.floats(0, 1), st.floats(0, 1))
def test_every_promise_of_a_policy_holds(seed: int, n: int, share: float, allowed: float) -> None:
    """Allowed models only, within budgets, with propensities and reasons as they should be."""
    batch, free = batch_of(seed, n, KNOWN + NEW, allowed), free_of(seed, KNOWN + NEW)
    policy = trial(share)
    decisions = policy.route(batch, free)
    for row, reason in enumerate(decisions.reason):
        if reason == "no_budget" and not batch.allowed[row, :KNOWN].any():
            assert batch.allowed[row].any()
            assert decisions.model[row] == NONE
    check(decisions, batch, free)
    same(decisions, policy.route(batch, free))


@given(st.integers(0, 2**32), st.integers(1, 12), st.floats(0, 1))
def test_newcomers_get_draws_and_nothing_else(seed: int, n: int, share: float) -> None:
    """The policy itself never chooses one; what is not drawn is decided as without newcomers."""
    batch, free = batch_of(seed, n, KNOWN + NEW, allowed=1.1), free_of(seed, KNOWN + NEW)
    policy = trial(share)
    decisions = policy.route(batch, free)
    drawn = [reason == "explore" for reason in decisions.reason]
    assert (decisions.model >= KNOWN).tolist() == drawn
    broke = free.copy()
    broke[KNOWN:] = 0
    with_none = policy.route(batch, broke)
    assert (with_none.model < KNOWN).all()
    assert with_none.propensity.tolist() == [1.0] * n


def test_propensities_are_the_frequencies_of_the_draws() -> None:
    """Over many seeds a query goes to each newcomer as often as the receipt says."""
    batch, free = batch_of(3, 1, KNOWN + NEW, allowed=1.1), np.full(KNOWN + NEW, 10_000)
    told: dict[int, float] = {}
    count = np.zeros(KNOWN + NEW)
    rounds = 4000
    policy, names = trial(0.2).policy, catalog(*(f"m{i}" for i in range(KNOWN + NEW)))
    for seed in range(rounds):
        decisions = Explore(policy, 0.2, seed, names).route(batch, free)
        model = int(decisions.model[0])
        count[model] += 1
        told[model] = float(decisions.propensity[0])
    assert sum(told.values()) == pytest.approx(1.0)
    assert len(told) == NEW + 1
    for model, chance in told.items():
        assert count[model] / rounds == pytest.approx(chance, abs=0.03)


def test_a_query_for_newcomers_alone_is_always_sent_while_there_is_money() -> None:
    """It is drawn whatever the share; without room it is deferred, not refused."""
    batch, free = batch_of(5, 40, KNOWN + NEW, allowed=1.1), np.full(KNOWN + NEW, 1_000)
    batch.allowed[:, :KNOWN] = False
    decisions = trial(0.0).route(batch, free)
    sent = decisions.model != NONE
    assert sent.any()
    assert not sent.all()
    assert set(decisions.model[sent].tolist()) == {3, 4}
    told = set(zip(sent.tolist(), decisions.reason, strict=True))
    assert told == {(True, "explore"), (False, "no_budget")}
