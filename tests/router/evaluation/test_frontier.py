"""Score against money, and what is said of it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from router.evaluation import frontier as front
from router.evaluation.frontier import CONTROL, OURS, Frontier
from router.evaluation.summary import Cell, Line
from tests.support.outcomes import outcomes

SINGLES = {"small": (1.0, 0.5), "large": (8.0, 0.8), "dear": (20.0, 0.8)}


def test_the_best_single_model_is_the_cheaper_of_equals() -> None:
    """Highest score first, then lower cost."""
    assert Frontier({}, SINGLES).best_single == "large"


def test_cost_to_reach_a_score() -> None:
    """Between two budgets the score rises with the logarithm of the money."""
    curve = [(1.0, 0.5), (4.0, 0.7), (8.0, 0.8)]
    assert front.cost_to_reach(curve, 0.4) == 1.0
    assert front.cost_to_reach(curve, 0.6) == pytest.approx(2.0)
    assert front.cost_to_reach(curve, 0.8) == pytest.approx(8.0)
    assert front.cost_to_reach(curve, 0.9) is None


def test_area() -> None:
    """The mean over the logarithm of money."""
    assert front.area([(1.0, 0.5), (10.0, 0.7), (100.0, 0.7)]) == pytest.approx(0.65)
    assert front.area([(1.0, 0.5)]) == 0.5


def test_headline() -> None:
    """Both policies at the same score and at the same money."""
    ours, control = [(1.0, 0.6), (4.0, 0.8)], [(1.0, 0.5), (4.0, 0.8)]
    first, second, third = front.headline(Frontier({OURS: ours, CONTROL: control}, SINGLES))
    assert first == (
        "primal-dual reaches the score of the best single model, large, at 50% of its cost; "
        "the best static mix of models needs 50%."
    )
    assert second.startswith("At equal money it scores +10.0 % on the best static mix (mean of 2")
    assert "0.7000, static mix 0.6500" in third


def test_headline_of_less() -> None:
    """Where the score is not reached, it speaks of the part that is."""
    curves = {OURS: [(1.0, 0.6), (4.0, 0.77)], CONTROL: [(1.0, 0.5), (4.0, 0.7)]}
    assert front.headline(Frontier(curves, SINGLES))[0] == (
        "primal-dual reaches 95% of the score of the best single model, large, at 46% of its cost; "
        "the best static mix of models does not reach it."
    )
    assert front.headline(Frontier({OURS: [(1.0, 0.1)]}, SINGLES)) == [
        "primal-dual reaches less than 50% of the score of the best single model, large."
    ]
    assert front.headline(Frontier({CONTROL: [(1.0, 0.1)]}, SINGLES)) == []


def test_budgets_double_until_the_best_model_is_paid_for() -> None:
    """From the cheapest model's cost on."""
    queries = outcomes(seed=1)
    singles = front.single_models(queries)
    budgets = front.swept_budgets(queries)
    assert budgets[0] == 1.0
    assert all(later == 2 * one for one, later in pairwise(budgets))
    best = singles[Frontier({}, singles).best_single][0]
    cheapest = min(cost for cost, _ in singles.values())
    assert budgets[-1] >= best / cheapest


def test_curves_are_made_of_lines() -> None:
    """One a policy, by rising budget, as mean scores."""
    queries = outcomes(seed=1)
    n = len(queries)
    lines = [
        Line(OURS, Cell(budget, "shared", 3), 1, n, 100.0, 0.0, budget * n / 8, 1, 1, 1, 0, 0)
        for budget in (4.0, 1.0)
    ]
    found = front.frontier(lines, front.single_models(queries))
    assert [score for _, score in found.curves[OURS]] == [0.125, 0.5]
    assert found.curves[OURS][1][0] == pytest.approx(4 * found.curves[OURS][0][0])
