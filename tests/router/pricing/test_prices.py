"""Dual prices: what a linear program's optimum must satisfy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog

from router.arrays import Bools, Floats
from router.pricing.prices import dual_prices

Program = tuple[Floats, Floats, Floats]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """(quality, cost, budget) with budgets that bind for some models and not for others."""
    n, models = draw(st.integers(1, 400)), draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    cost = random.uniform(0.5, 1.5, (n, models)) * 10.0 ** random.uniform(0, 7, models)
    budget = cost.sum(axis=0) * random.uniform(0.0, 0.6, models)
    budget *= random.uniform(0, 1, models) < 0.9
    return random.uniform(-0.1, 1.0, (n, models)), cost, budget


def dual_value(gamma: Floats, quality: Floats, cost: Floats, budget: Floats) -> float:
    """The dual objective at prices γ: no plan within the budgets is worth more than this."""
    score = quality - gamma * cost
    best = np.where(np.isfinite(score), score, 0.0).max(axis=1, initial=0.0)
    return float(gamma @ budget + best.sum())


def primal_value(quality: Floats, cost: Floats, budget: Floats) -> float:
    """The optimum of the whole program, with all its columns, by the solver's own value."""
    n, models = quality.shape
    rows = np.zeros((models + n, n * models))
    for query in range(n):
        for model in range(models):
            column = query * models + model
            rows[model, column] = cost[query, model] / (budget[model] or 1.0)
            rows[models + query, column] = 1.0
    room = np.concatenate([(budget > 0).astype(float), np.ones(n)])
    solved = linprog(-quality.ravel(), A_ub=rows, b_ub=room, bounds=(0, None))
    return -float(solved.fun)


@settings(max_examples=60)
@given(programs())
def test_no_negative_prices(program: Program) -> None:
    """Prices are finite and at least 0, one a model."""
    gamma = dual_prices(*program)
    assert gamma.shape == program[2].shape
    assert np.isfinite(gamma).all()
    assert (gamma >= 0).all()


@settings(max_examples=25)
@given(programs())
def test_strong_duality(program: Program) -> None:
    """At the prices, the dual's value is the program's own: they are exact."""
    quality, cost, budget = (array[:60] for array in program)
    budget = program[2]
    value = primal_value(quality, cost, budget)
    assert_allclose(
        dual_value(dual_prices(quality, cost, budget), quality, cost, budget),
        value,
        rtol=1e-6,
        atol=1e-6,
    )


@settings(max_examples=40)
@given(programs())
def test_complementary_slackness(program: Program) -> None:
    """A model of positive price is used to the full (but for a query that is split), and one that
    is not, costs nothing."""
    quality, cost, budget = program
    gamma = dual_prices(*program)
    score = quality - gamma * cost
    near = 1e-7
    taken = (score > near) & (score >= score.max(axis=1, keepdims=True) - near)
    possible = (score >= -near) & (score >= score.max(axis=1, keepdims=True) - near)
    sure = taken & (taken.sum(axis=1, keepdims=True) == 1) & ~_tied(score, near)
    for model in np.flatnonzero(budget > 0):
        least, most = cost[sure[:, model], model].sum(), cost[possible[:, model], model].sum()
        assert least <= budget[model] * (1 + 1e-6)
        if gamma[model] * budget[model] > 1e-6:
            assert most >= budget[model] * (1 - 1e-6)


def _tied(score: Floats, near: float) -> Bools:
    ordered = np.sort(np.concatenate([score, np.zeros((len(score), 1))], axis=1), axis=1)
    tied: Bools = (ordered[:, -1] - ordered[:, -2] <= near)[:, None]
    return tied


@settings(max_examples=40)
@given(programs(), st.floats(0.1, 10.0))
def test_the_start_changes_nothing(program: Program, far: float) -> None:
    """Whatever prices the search starts from, it ends at the same optimum."""
    gamma = dual_prices(*program)
    again = dual_prices(*program, start=gamma * far + 1e-9)
    assert_allclose(dual_value(again, *program), dual_value(gamma, *program), rtol=1e-7)


def test_a_budget_of_nothing_is_dearer_than_any_query() -> None:
    """No query of the sample wants a model whose budget is spent."""
    quality, cost = np.array([[0.9, 0.2], [0.4, 0.3]]), np.array([[10.0, 5.0], [2.0, 5.0]])
    gamma = dual_prices(quality, cost, np.array([0.0, 100.0]))
    assert ((quality - gamma * cost)[:, 0] <= 1e-12).all()
    assert gamma[1] == 0.0


def test_money_for_all_costs_nothing() -> None:
    """Budgets that do not bind have no price."""
    quality, cost = np.array([[0.9, 0.2], [0.4, 0.3]]), np.full((2, 2), 10.0)
    assert_array_equal(dual_prices(quality, cost, np.array([1e6, 1e6])), [0.0, 0.0])


def test_impossible_pairs_are_left_out() -> None:
    """Quality -inf or NaN means that a query cannot go there; it moves no price."""
    quality = np.array([[0.9, np.nan], [0.8, -np.inf], [0.5, 0.4]])
    cost = np.full((3, 2), 10.0)
    gamma = dual_prices(quality, cost, np.array([15.0, 100.0]))
    assert gamma[1] == 0.0
    assert 0.1 / 10 - 1e-12 <= gamma[0] <= 0.8 / 10 + 1e-12


def test_no_queries() -> None:
    """Nothing to plan for: no prices."""
    nothing = np.zeros((0, 3))
    assert_array_equal(dual_prices(nothing, nothing, np.ones(3)), np.zeros(3))
