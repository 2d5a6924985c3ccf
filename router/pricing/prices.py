"""Dual prices: what one unit of each limit (money, tokens, requests) is worth in answer quality.

The program (paper, eq. 2 with x relaxed to [0, 1], and a row for each limit r instead of each
model i; a_rij is what query j draws on it at model i, 0 where it does not cover the two):

    max Σ_ij d_ij x_ij   with   Σ_ij a_rij x_ij ≤ B_r  (price γ_r)   and   Σ_i x_ij ≤ 1

Its dual is  min_{γ ≥ 0} Σ_r γ_r B_r + Σ_j max(0, max_i d_ij − Σ_r γ_r a_rij).  The prices are read
off the solved program as the marginals of its limit rows, so they are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from router.arrays import Bools, Floats, Ints, even_rows
from router.pricing.coverage import Coverage

NEAR = 2
"""Pairs a query, on average, that the program starts with."""
SAMPLE = 250
"""Queries on which prices are roughly right."""
TOLERANCE = 1e-9
"""Quality: what a pair left out may be better by."""


class PricesNotSolved(RuntimeError):
    """The solver found no optimum. The message carries its own words."""


@dataclass(frozen=True, slots=True)
class Program:
    """n queries, M models and R limits.

    Attributes:
        quality: float64[n, M], -inf or NaN where a pair of query and model is not possible.
        amounts: float64[n, M] a unit, ≥ 0, what each pair draws.
        coverage: Which limits a pair draws on.
        limits: float64[R] ≥ 0, what these n queries may draw in all.
    """

    quality: Floats
    amounts: Sequence[Floats]
    coverage: Coverage
    limits: Floats

    @classmethod
    def per_model(cls, quality: Floats, cost: Floats, budgets: Floats) -> Program:
        """Give each model a budget of its own: float64[n, M] costs, float64[M] budgets."""
        return cls(
            quality,
            [cost],
            Coverage.per_model([str(model) for model in range(len(budgets))]),
            budgets,
        )

    def priced(self, prices: Floats) -> Floats:
        """Return float64[n, M], what each pair costs at float64[R] prices."""
        return self.coverage.priced(prices, self.amounts)

    def take(self, rows: Ints, part: float) -> Program:
        """Return the program of some queries, which may draw this part of each limit."""
        return Program(
            self.quality[rows],
            [table[rows] for table in self.amounts],
            self.coverage.take(rows),
            self.limits * part,
        )


def dual_prices(program: Program, start: Floats | None = None) -> Floats:
    """Solve the linear program for its prices γ (paper, eq. 2; module docstring).

    Most pairs of query and model are far from being chosen, so the program starts with those
    nearest to it at approximate prices, and adds the pairs that its own prices show to be missing
    until there are none: the optimum of the whole program (column generation, Dantzig and Wolfe
    1960).

    Args:
        program: Queries, and the limits that they share.
        start: float64[R], prices that may be near. They save time, and decide only which of several
            optima is found.

    Returns:
        float64[R] prices ≥ 0, quality per unit of each limit. A limit that does not bind has price
        0; a limit of 0 has the price at which no query wants what it covers.

    Raises:
        PricesNotSolved: The solver found no optimum.
    """
    empty = ~(program.limits > 0)
    useful = _useful(program, empty)
    beyond = _prohibitive(program, empty)
    if not useful.any():
        return beyond
    gamma = _from_sample(program, useful) if start is None else np.where(empty, 0.0, start)
    chosen = _nearest(_score(program, gamma, useful))
    while True:
        gamma = _solve(program, chosen)
        score = _score(program, gamma, useful)
        worth = np.where(chosen, score, 0.0).max(axis=1, initial=0.0)
        missing = useful & ~chosen & (score > worth[:, None] + TOLERANCE)
        if not missing.any():
            return np.where(empty, beyond, gamma)
        # Those that are merely near come too: the next prices would show some of them missing.
        chosen |= missing | _nearest(score)


def _useful(program: Program, empty: Bools) -> Bools:
    """Return bool[n, M]: pairs that are worth something and draw on no empty limit."""
    useful = np.isfinite(program.quality) & (program.quality > 0)
    for limit in np.flatnonzero(empty).tolist():
        amount = program.amounts[program.coverage.unit[limit]]
        useful &= ~(program.coverage.of_limit(limit, len(useful)) & (amount > 0))
    return useful


def _solve(program: Program, pairs: Bools) -> Floats:
    """Return the prices of the program with these pairs only; 0 for empty limits."""
    query, model = np.nonzero(pairs)
    pair = np.arange(len(query))
    # Each limit's row is measured in the limit itself, so that the solver's tolerances mean the
    # same for every limit.
    scale = np.where(program.limits > 0, program.limits, 1.0)
    drawn = program.coverage.drawn(query, model, program.amounts) / scale[:, None]
    limit, column = np.nonzero(drawn)
    # A query with one pair needs no row: its x is at most 1 by itself.
    several = pairs.sum(axis=1) > 1
    shared = several[query]
    row = len(scale) + several.cumsum() - 1
    table = csr_array(
        (
            np.concatenate([drawn[limit, column], np.ones(int(shared.sum()))]),
            (
                np.concatenate([limit, row[query[shared]]]),
                np.concatenate([column, pair[shared]]),
            ),
        ),
        shape=(len(scale) + int(several.sum()), len(query)),
    )
    solved = linprog(
        -program.quality[query, model],
        A_ub=table,
        b_ub=np.ones(table.shape[0]),
        bounds=(0.0, 1.0),
        method="highs-ds",
    )
    if solved.status != 0:
        n, models = pairs.shape
        raise PricesNotSolved(f"{n} queries, {models} models: {solved.message}")
    prices: Floats = np.maximum(-solved.ineqlin.marginals[: len(scale)], 0.0) / scale
    return prices


def _from_sample(program: Program, useful: Bools) -> Floats:
    """Return prices on an even sample of the queries: near enough to start from."""
    n = len(program.quality)
    rows = even_rows(n, SAMPLE)
    if not useful[rows].any():
        return np.zeros(len(program.limits))
    return _solve(program.take(rows, len(rows) / n), useful[rows])


def _score(program: Program, gamma: Floats, useful: Bools) -> Floats:
    quality = np.where(useful, program.quality, 0.0)
    return np.where(useful, quality - program.priced(gamma), -np.inf)


def _nearest(score: Floats) -> Bools:
    """Return bool[n, M]: the NEAR·n pairs that lack least to be the best of their query.

    To go nowhere is worth 0. score: float64[n, M], -inf where a pair is not possible.
    """
    lack = score.max(axis=1, initial=0.0)[:, None] - score
    last = min(NEAR * len(score), lack.size) - 1
    nearest: Bools = np.isfinite(lack) & (lack <= np.partition(lack, last, axis=None)[last])
    return nearest


def _prohibitive(program: Program, empty: Bools) -> Floats:
    """Return float64[R] prices at which no query wants what empty limits cover; 0 for others."""
    highest = np.zeros(len(empty))
    wanted = np.isfinite(program.quality) & (program.quality > 0)
    for limit in np.flatnonzero(empty).tolist():
        amount = program.amounts[program.coverage.unit[limit]]
        here = wanted & program.coverage.of_limit(limit, len(wanted))
        rate = np.where(here, program.quality, 0.0) / np.maximum(amount, 1.0)
        highest[limit] = rate.max(initial=0.0)
    return highest
