"""Dual prices: what one nano-unit of each model's budget is worth in answer quality.

The program (paper, eq. 2 with x relaxed to [0, 1]):

    max Σ_ij d_ij x_ij   with   Σ_j g_ij x_ij ≤ B_i  (price γ_i)   and   Σ_i x_ij ≤ 1  (worth s_j)

Its dual is  min_{γ ≥ 0} Σ_i γ_i B_i + Σ_j max(0, max_i d_ij − γ_i g_ij).  The prices are read off
the solved program as the marginals of its budget rows, so they are exact.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from router.arrays import Bools, Floats, even_rows

NEAR = 2
"""Pairs a query, on average, that the program starts with."""
SAMPLE = 250
"""Queries on which prices are roughly right."""
TOLERANCE = 1e-9
"""Quality: what a pair left out may be better by."""


class PricesNotSolved(RuntimeError):
    """The solver found no optimum. The message carries its own words."""


def dual_prices(
    quality: Floats, cost: Floats, budget: Floats, start: Floats | None = None
) -> Floats:
    """Solve the linear program for its prices γ (paper, eq. 2; module docstring).

    Most pairs of query and model are far from being chosen, so the program starts with those
    nearest to it at approximate prices, and adds the pairs that its own prices show to be missing
    until there are
    none: the optimum of the whole program (column generation, Dantzig and Wolfe 1960).

    Args:
        quality: float64[n, M], -inf or NaN where a pair of query and model is not possible.
        cost: float64[n, M] nano-units, ≥ 0.
        budget: float64[M] nano-units that these n queries may spend, ≥ 0.
        start: float64[M], prices that may be near. They save time, and decide only which of several
            optima is found.

    Returns:
        float64[M] prices ≥ 0, quality per nano-unit. A model that no query wants has price 0; a
        budget of 0 has the price at which no query wants the model.

    Raises:
        PricesNotSolved: The solver found no optimum.
    """
    empty = ~(budget > 0)
    useful = np.isfinite(quality) & (quality > 0) & ~empty
    if not useful.any():
        return np.where(empty, _prohibitive(quality, cost), 0.0)
    scale = np.where(empty, 1.0, budget)
    if start is None:
        gamma = _from_sample(quality, cost, scale, useful)
    else:
        gamma = np.where(empty, 0.0, start)
    chosen = _nearest(_score(gamma, quality, cost, useful))
    while True:
        gamma = _solve(quality, cost, scale, chosen)
        score = _score(gamma, quality, cost, useful)
        worth = np.where(chosen, score, 0.0).max(axis=1, initial=0.0)
        missing = useful & ~chosen & (score > worth[:, None] + TOLERANCE)
        if not missing.any():
            return np.where(empty, _prohibitive(quality, cost), gamma)
        # Those that are merely near come too: the next prices would show some of them missing.
        chosen |= missing | _nearest(score)


def _solve(quality: Floats, cost: Floats, scale: Floats, pairs: Bools) -> Floats:
    """Return the prices of the program with these pairs only.

    Args:
        quality: float64[n, M].
        cost: float64[n, M] nano-units.
        scale: float64[M] nano-units, the budgets, > 0.
        pairs: bool[n, M].
    """
    n, models = quality.shape
    query, model = np.nonzero(pairs)
    pair = np.arange(len(query))
    # A query with one pair needs no row: its x is at most 1 by itself.
    several = pairs.sum(axis=1) > 1
    shared = several[query]
    row = models + several.cumsum() - 1
    # Each budget row is measured in its own budget, so that the solver's tolerances mean the
    # same for every model.
    table = csr_array(
        (
            np.concatenate([cost[query, model] / scale[model], np.ones(int(shared.sum()))]),
            (
                np.concatenate([model, row[query[shared]]]),
                np.concatenate([pair, pair[shared]]),
            ),
        ),
        shape=(models + int(several.sum()), len(query)),
    )
    solved = linprog(
        -quality[query, model],
        A_ub=table,
        b_ub=np.ones(table.shape[0]),
        bounds=(0.0, 1.0),
        method="highs-ds",
    )
    if solved.status != 0:
        raise PricesNotSolved(f"{n} queries, {models} models: {solved.message}")
    prices: Floats = np.maximum(-solved.ineqlin.marginals[:models], 0.0) / scale
    return prices


def _from_sample(quality: Floats, cost: Floats, scale: Floats, useful: Bools) -> Floats:
    """Return prices on an even sample of the queries: near enough to start from."""
    rows = even_rows(len(quality), SAMPLE)
    if not useful[rows].any():
        return np.zeros(len(scale))
    part = len(rows) / len(quality)
    return _solve(quality[rows], cost[rows], scale * part, useful[rows])


def _score(gamma: Floats, quality: Floats, cost: Floats, useful: Bools) -> Floats:
    return np.where(useful, np.where(useful, quality, 0.0) - gamma * cost, -np.inf)


def _nearest(score: Floats) -> Bools:
    """Return bool[n, M], the NEAR·n pairs that lack least to be their query's best.

    Going nowhere is worth 0. Score is float64[n, M], -inf where a pair is not possible.
    """
    lack = score.max(axis=1, initial=0.0)[:, None] - score
    last = min(NEAR * len(score), lack.size) - 1
    nearest: Bools = np.isfinite(lack) & (lack <= np.partition(lack, last, axis=None)[last])
    return nearest


def _prohibitive(quality: Floats, cost: Floats) -> Floats:
    """Return float64[M], prices at which no query of the sample has a positive score."""
    wanted = np.isfinite(quality) & (quality > 0)
    rate = np.where(wanted, quality, 0.0) / np.maximum(cost, 1.0)
    highest: Floats = rate.max(axis=0, initial=0.0)
    return highest
