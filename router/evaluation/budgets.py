"""The total budget of an experiment, and how models share it (the paper's experiments)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from router.arrays import Floats, Ints
from router.evaluation.datasets import Dataset
from router.pricing.coverage import Coverage

SHARED = "shared"
"""The split that is none: one budget for all models."""
GIVEN = "given"
"""Limits from a file, with a budget that multiplies their amounts."""
TOGETHER = (SHARED, GIVEN)
SPLITS = ("weighted", "cost", "perf", "uniform", "random", "extreme")
UNKNOWN = "history and queries have no model with known outcomes in both"
EXTREME_PART = 0.8
"""The part of the money that the least cost-efficient models hold in the `extreme` split."""
EXTREME_MODELS = 0.5
"""The part of the models that counts as least cost-efficient there."""


def shared(queries: Dataset, multiple: float = 1.0) -> tuple[Coverage, Ints]:
    """Return one limit over all models, and its nano-dollars, int64[1].

    Args:
        queries: The arrivals.
        multiple: The budget, in what the cheapest model needs to answer every query.

    Raises:
        ValueError: No outcome of the queries is known, or the budget buys nothing.
    """
    amount = np.asarray([np.floor(_total(queries, multiple))], dtype=np.int64)
    return Coverage.shared(len(queries.models)), amount


def limits(
    history: Dataset,
    queries: Dataset,
    multiple: float = 1.0,
    split: str = "weighted",
    seed: int = 0,
) -> Ints:
    """int64[M] nano-dollars: `multiple` times what the cheapest model needs to answer every
    query, shared by `split` with means over the history.

    weighted: ∝ √(score / cost); cost: ∝ √(1 / cost); perf: ∝ score; uniform: equal;
    random: ∝ U(5, 30) drawn by `seed`; extreme: the less cost-efficient half of the models
    shares 80 % equally, the rest the others. A model of which no outcome is known gets nothing;
    where some are not, its mean stands for them. Raises ValueError for another name.
    """
    if split not in SPLITS:
        raise ValueError(f"no budget split {split!r}; there are: {', '.join(SPLITS)}")
    total = _total(queries, multiple)
    score, cost = _means(history.scores), np.maximum(_means(history.costs), 1e-3)
    known = np.isfinite(score) & np.isfinite(cost)
    weight = np.zeros(len(score))
    weight[known] = _WEIGHTS[split](score[known], cost[known], seed)
    if not known.any():
        raise ValueError(UNKNOWN)
    return np.asarray(np.floor(weight / weight.sum() * total), dtype=np.int64)


def _total(queries: Dataset, multiple: float) -> float:
    """Return the nano-dollars of a multiple of what the cheapest model needs for all queries."""
    if not multiple > 0:
        raise ValueError(f"a budget of {multiple} times the cheapest model's cost buys nothing")
    cheapest = float(np.nanmin(_means(queries.costs), initial=np.inf))
    if not np.isfinite(cheapest):
        raise ValueError(UNKNOWN)
    return multiple * len(queries) * cheapest


def _means(outcomes: Floats) -> Floats:
    """Return float64[M] means over the known outcomes of float64[n, M]; NaN where there is none."""
    known = np.isfinite(outcomes)
    total = np.where(known, outcomes, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _extreme(score: Floats, cost: Floats, seed: int) -> Floats:
    """Give most of the budget to the worse half of the models by score / cost."""
    count = len(score)
    worst = np.argsort(score / cost, kind="stable")[: max(1, round(count * EXTREME_MODELS))]
    weight = np.full(count, (1 - EXTREME_PART) / max(1, count - len(worst)))
    weight[worst] = EXTREME_PART / len(worst)
    return weight


_WEIGHTS: dict[str, Callable[[Floats, Floats, int], Floats]] = {
    # A model that never scores still gets a crumb, so that no limit is a division by zero.
    "weighted": lambda score, cost, seed: np.sqrt(np.maximum(score, 1e-6) / cost),
    "cost": lambda score, cost, seed: np.sqrt(1.0 / cost),
    "perf": lambda score, cost, seed: np.maximum(score, 1e-6),
    "uniform": lambda score, cost, seed: np.ones(len(score)),
    "random": lambda score, cost, seed: np.random.default_rng(seed).uniform(5, 30, len(score)),
    "extreme": _extreme,
}
