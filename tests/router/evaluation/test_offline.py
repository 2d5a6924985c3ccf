"""The offline references, against brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from router.evaluation import offline
from router.evaluation.engine import settle
from router.evaluation.experiment import REFERENCES, Setting, compare
from router.evaluation.problem import Change
from router.policies.base import NONE
from router.pricing.prices import Program
from tests.support.outcomes import ground


def assignment(
    quality: NDArray[Any], cost: NDArray[Any], limits: NDArray[Any], available: NDArray[Any]
) -> NDArray[Any]:
    """The program's assignment with a budget a model."""
    program = Program.per_model(quality, cost, limits.astype(np.float64))
    return offline.best_assignment(program, available)


def brute_force(quality: np.ndarray, cost: np.ndarray, limits: np.ndarray) -> float:
    """The best value of any whole assignment within the limits."""
    n, models = quality.shape
    best = 0.0
    for plan in product(range(NONE, models), repeat=n):
        spent = np.zeros(models)
        value = 0.0
        for query, model in enumerate(plan):
            if model != NONE:
                spent[model] += cost[query, model]
                value += quality[query, model]
        if (spent <= limits).all():
            best = max(best, value)
    return best


@given(seed=st.integers(0, 2**32), n=st.integers(1, 5), models=st.integers(1, 3))
@settings(max_examples=30)
def test_assignment_is_near_the_best_whole_one(seed: int, n: int, models: int) -> None:
    """The relaxed program differs from the whole one in at most one query a model."""
    random = np.random.default_rng(seed)
    quality, cost = random.uniform(0, 1, (n, models)), random.uniform(1, 10, (n, models))
    limits = random.integers(5, 25, models)
    chosen = assignment(quality, cost, limits, np.ones((n, models), dtype=bool))
    value = sum(quality[row, model] for row, model in enumerate(chosen) if model != NONE)
    assert value >= brute_force(quality, cost, limits) - models


def test_unbound_budgets_give_each_query_its_best() -> None:
    """With money for everything, it is the best model for everyone."""
    random = np.random.default_rng(1)
    quality, cost = random.uniform(0.1, 1, (20, 3)), random.uniform(1, 10, (20, 3))
    chosen = assignment(quality, cost, np.full(3, 10**6), np.ones((20, 3), dtype=bool))
    assert chosen.tolist() == quality.argmax(axis=1).tolist()


def test_unavailable_models_get_nothing() -> None:
    """A model that has left, or whose outcome nobody knows, is no choice."""
    put = ground().problem(Setting(budget=100.0))
    put = replace(put, changes=(Change(10, (0, 1)),))
    for chosen in (offline.assign_on_estimates(put), offline.assign_on_truth(put)):
        assert 2 not in chosen[10:]
        assert (chosen != NONE).any()


def test_no_budget_no_assignment() -> None:
    """Nothing fits in nothing."""
    ones = np.ones((4, 2))
    chosen = assignment(ones, ones, np.zeros(2, dtype=np.int64), ones > 0)
    assert chosen.tolist() == [NONE] * 4


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_references_keep_budgets_too(name: str) -> None:
    """Committed with true costs, in order: no limit is passed."""
    put = ground().problem(Setting(budget=0.5))
    run = settle(put, REFERENCES[name](put))
    assert (run.spent[-1] <= put.limits).all()
    assert run.performance == put.scores[run.served, run.model[run.served]].sum()


def test_references_are_solved_once_for_all_orders() -> None:
    """Another order commits the same assignment."""
    base = ground()
    first, second = (
        {row.policy: run for row, run, _ in compare(base, Setting(order=order), [])}
        for order in (0, 3)
    )
    order = base.order(Setting(order=3))
    for name in REFERENCES:
        assert second[name].model.tolist() == first[name].model[order].tolist()


def test_references_keep_each_window() -> None:
    """The programs spend no more in any window than it holds."""
    put = ground().problem(Setting())
    put = replace(put, limits=put.limits // 3, lengths=np.full(3, 16.0))
    for assign in REFERENCES.values():
        run = settle(put, assign(put))
        served = np.flatnonzero(run.served)
        for window in range(3):
            here = served[served // 16 == window]
            spent = np.zeros(3, dtype=np.int64)
            np.add.at(spent, run.model[here], put.costs[here, run.model[here]])
            assert (spent <= put.limits).all()
        assert run.count
