"""Dual prices: what a linear program's optimum must satisfy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog

from router.arrays import Bools, Floats
from router.pricing.coverage import Coverage
from router.pricing.prices import Program, dual_prices

NEAR = 1e-7


@st.composite
def per_model(draw: st.DrawFn) -> Program:
    """A budget a model; some bind and others do not."""
    n, models = draw(st.integers(1, 400)), draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    cost = random.uniform(1.0, 3.0, (n, models)) * 10.0 ** random.uniform(0, 7, models)
    budget = cost.sum(axis=0) * random.uniform(0.0, 0.6, models)
    budget *= random.uniform(0, 1, models) < 0.9
    return Program.per_model(random.uniform(-0.1, 1.0, (n, models)), cost, budget)


@st.composite
def overlapping(draw: st.DrawFn) -> Program:
    """Limits of money and requests, over any models and any tenants."""
    n, models, limits = draw(st.integers(1, 200)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    cost = random.uniform(1.0, 3.0, (n, models)) * 10.0 ** random.uniform(0, 7, models)
    coverage = Coverage(
        tuple(map(str, range(limits))),
        random.integers(0, 2, limits),
        random.uniform(size=(limits, models)) < 0.6,
        (random.uniform(size=(limits, n)) < 0.7) if draw(st.booleans()) else None,
    )
    whole = Program(random.uniform(-0.1, 1.0, (n, models)), [cost, np.ones((n, models))], coverage,
                    np.ones(limits))  # fmt: skip
    total = drawn(whole).sum(axis=(1, 2)) / models
    amount = total * random.uniform(0.0, 0.8, limits) * (random.uniform(0, 1, limits) < 0.9)
    return replace(whole, limits=amount)


programs = st.one_of(per_model(), overlapping())


def drawn(program: Program) -> Floats:
    """float64[R, n, M]: what each pair draws on each limit, the long way."""
    n, models = program.quality.shape
    coverage = program.coverage
    found = np.zeros((len(coverage), n, models))
    for limit, unit in enumerate(coverage.unit):
        for query in range(n):
            if coverage.queries is None or coverage.queries[limit, query]:
                amounts = program.amounts[unit][query]
                found[limit, query] = np.where(coverage.models[limit], amounts, 0.0)
    return found


def score_at(gamma: Floats, program: Program) -> Floats:
    """float64[n, M]: quality less price."""
    score: Floats = program.quality - np.einsum("r,rnm->nm", gamma, drawn(program))
    return score


def dual_value(gamma: Floats, program: Program) -> float:
    """The dual objective at prices γ: no plan within the limits is worth more than this."""
    score = score_at(gamma, program)
    best = np.where(np.isfinite(score), score, 0.0).max(axis=1, initial=0.0)
    return float(gamma @ program.limits + best.sum())


def primal_value(program: Program) -> float:
    """The optimum of the whole program, with all its columns, by the solver's own value."""
    n, models = program.quality.shape
    scale = np.where(program.limits > 0, program.limits, 1.0)
    limits = drawn(program).reshape(len(scale), -1) / scale[:, None]
    once = np.kron(np.eye(n), np.ones((1, models)))
    room = np.concatenate([(program.limits > 0).astype(float), np.ones(n)])
    solved = linprog(
        -program.quality.ravel(), A_ub=np.vstack([limits, once]), b_ub=room, bounds=(0, None)
    )
    return -float(solved.fun)


@settings(max_examples=60)
@given(programs)
def test_no_negative_prices(program: Program) -> None:
    """Prices are finite and at least 0, one a limit."""
    gamma = dual_prices(program)
    assert gamma.shape == program.limits.shape
    assert np.isfinite(gamma).all()
    assert (gamma >= 0).all()


@settings(max_examples=30)
@given(programs)
def test_strong_duality(program: Program) -> None:
    """At the prices, the dual's value is the program's own: they are exact."""
    few = np.arange(min(len(program.quality), 60))
    program = program.take(few, 1.0)
    value = primal_value(program)
    assert_allclose(dual_value(dual_prices(program), program), value, rtol=1e-6, atol=1e-6)


@settings(max_examples=40)
@given(programs)
def test_complementary_slackness(program: Program) -> None:
    """A limit of positive price is used to the full (but for queries that are split), and one that
    is not, costs nothing."""
    gamma = dual_prices(program)
    score = score_at(gamma, program)
    best = score >= score.max(axis=1, keepdims=True) - NEAR
    taken, possible = (score > NEAR) & best, (score >= -NEAR) & best
    sure = taken & (taken.sum(axis=1, keepdims=True) == 1) & ~_tied(score)
    amounts = drawn(program)
    for limit in np.flatnonzero(program.limits > 0):
        amount, room = amounts[limit], program.limits[limit]
        least = np.where(sure, amount, 0.0).sum()
        most = np.where(possible, amount, 0.0).max(axis=1).sum()
        assert least <= room * (1 + 1e-6)
        if gamma[limit] * room > 1e-6:
            assert most >= room * (1 - 1e-6)


def _tied(score: Floats) -> Bools:
    ordered = np.sort(np.concatenate([score, np.zeros((len(score), 1))], axis=1), axis=1)
    tied: Bools = (ordered[:, -1] - ordered[:, -2] <= NEAR)[:, None]
    return tied


@settings(max_examples=40)
@given(programs, st.floats(0.1, 10.0))
def test_the_start_changes_nothing(program: Program, far: float) -> None:
    """Whatever prices the search starts from, it ends at the same optimum."""
    gamma = dual_prices(program)
    again = dual_prices(program, start=gamma * far + 1e-9)
    assert_allclose(dual_value(again, program), dual_value(gamma, program), rtol=1e-6)


@settings(max_examples=20)
@given(per_model())
def test_one_budget_for_all_is_worth_no_less(program: Program) -> None:
    """The same money without walls between models has at least the same value."""
    total = program.limits.sum(keepdims=True)
    shared = replace(program, coverage=Coverage.shared(len(program.limits)), limits=total)
    apart = dual_value(dual_prices(program), program)
    assert dual_value(dual_prices(shared), shared) >= apart * (1 - 1e-6)


def test_a_limit_of_nothing_is_dearer_than_any_query() -> None:
    """No query of the sample wants a model whose budget is spent."""
    quality, cost = np.array([[0.9, 0.2], [0.4, 0.3]]), np.array([[10.0, 5.0], [2.0, 5.0]])
    gamma = dual_prices(Program.per_model(quality, cost, np.array([0.0, 100.0])))
    assert ((quality - gamma * cost)[:, 0] <= 1e-12).all()
    assert gamma[1] == 0.0


def test_what_costs_nothing_is_open_under_a_limit_of_nothing() -> None:
    """A free model stays worth its quality when the shared money is gone."""
    quality, cost = np.array([[0.9, 0.2], [0.8, 0.3]]), np.array([[10.0, 0.0], [20.0, 0.0]])
    program = Program(quality, [cost], Coverage.shared(2), np.zeros(1))
    score = score_at(dual_prices(program), program)
    assert (score[:, 0] <= 1e-12).all()
    assert_array_equal(score[:, 1], quality[:, 1])


def test_money_for_all_costs_nothing() -> None:
    """Budgets that do not bind have no price."""
    quality, cost = np.array([[0.9, 0.2], [0.4, 0.3]]), np.full((2, 2), 10.0)
    program = Program.per_model(quality, cost, np.array([1e6, 1e6]))
    assert_array_equal(dual_prices(program), [0.0, 0.0])


def test_impossible_pairs_are_left_out() -> None:
    """Quality -inf or NaN means that a query cannot go there; it moves no price."""
    quality = np.array([[0.9, np.nan], [0.8, -np.inf], [0.5, 0.4]])
    cost = np.full((3, 2), 10.0)
    gamma = dual_prices(Program.per_model(quality, cost, np.array([15.0, 100.0])))
    assert gamma[1] == 0.0
    assert 0.1 / 10 - 1e-12 <= gamma[0] <= 0.8 / 10 + 1e-12


def test_no_queries() -> None:
    """Nothing to plan for: no prices."""
    nothing = np.zeros((0, 3))
    program = Program.per_model(nothing, nothing, np.ones(3))
    assert_array_equal(dual_prices(program), np.zeros(3))


def test_a_model_that_costs_nothing_needs_no_budget() -> None:
    """It takes what it is best for, and the others' prices are those of what is left."""
    quality = np.array([[0.9, 0.5], [0.2, 0.6], [0.2, 0.7]])
    cost = np.array([[0.0, 10.0], [0.0, 10.0], [0.0, 10.0]])
    prices = dual_prices(Program.per_model(quality, cost, np.array([0.0, 20.0])))
    assert ((quality - prices * cost).argmax(axis=1) == [0, 1, 1]).all()
