"""How much money there is, and how it is shared among models."""

from __future__ import annotations

import numpy as np
import pytest

from router.evaluation import budgets
from tests.support.outcomes import outcomes


@pytest.mark.parametrize("split", budgets.SPLITS)
def test_splits_share_the_cheapest_models_cost(split: str) -> None:
    """Every split gives out the total (less than a nano-unit a model is lost in rounding)."""
    history, queries = outcomes(seed=1).split(0.4)
    total = 0.5 * queries.costs.sum(axis=0).min()
    given = budgets.limits(history, queries, 0.5, split, seed=2)
    assert given.min() >= 0
    assert total - len(given) < given.sum() <= total


def test_one_budget_for_all_models() -> None:
    """The same total, in one limit that covers every model."""
    _, queries = outcomes(seed=1).split(0.4)
    coverage, amount = budgets.shared(queries, 0.5)
    assert amount.tolist() == [int(0.5 * queries.costs.sum(axis=0).min())]
    assert coverage.models.tolist() == [[True] * len(queries.models)]


def test_splits_weigh_models_as_they_say() -> None:
    """weighted ∝ √(score/cost); extreme gives 80 % to the least cost-efficient half."""
    history, queries = outcomes(seed=1, models=4).split(0.4)
    score, cost = history.scores.mean(axis=0), history.costs.mean(axis=0)
    weighted = budgets.limits(history, queries, 1.0, "weighted").astype(float)
    ratio = weighted / np.sqrt(score / cost)
    assert ratio.max() / ratio.min() == pytest.approx(1.0, rel=1e-3)
    extreme = budgets.limits(history, queries, 1.0, "extreme")
    worst = np.argsort(score / cost)[:2]
    assert extreme[worst].sum() / extreme.sum() == pytest.approx(0.8, rel=1e-3)


def test_models_without_outcomes_get_no_budget() -> None:
    """An empty column neither takes money nor spoils the others' shares."""
    data = outcomes(seed=1)
    data.scores[:, 1] = data.costs[:, 1] = np.nan
    history, queries = data.split(0.4)
    others = ["maker/model-0", "maker/model-2"]
    for split in budgets.SPLITS:
        given = budgets.limits(history, queries, 1.0, split)
        expected = budgets.limits(
            history.with_models(others), queries.with_models(others), 1.0, split
        )
        assert given.tolist() == [expected[0], 0, expected[1]]


def test_unknown_splits_and_budgets_are_refused() -> None:
    """The message names what there is."""
    history, queries = outcomes().split(0.4)
    with pytest.raises(ValueError, match="weighted, cost"):
        budgets.limits(history, queries, 1.0, "fair")
    with pytest.raises(ValueError, match="buys nothing"):
        budgets.limits(history, queries, 0.0)
