"""How far estimated scores may depart from the models' means, by what decisions are worth.

Of many noisy estimates a router takes the largest net of its price, and so, too often, one that is
too large (the optimizer's curse: Smith and Winkler 2006). Estimates of least squared error do not
protect from that where models are many and the history is small. So deviations from the models'
means are multiplied by a factor, chosen by the value that the program's decisions on leave-one-out
estimates would have had: at a factor of 0 they are those of the best static mix.

It is for limits that several models share. A budget for each model leaves no choice of the largest
among all: there every model's budget is used up by the queries that suit it best, and full
estimates are worth more.
"""

from __future__ import annotations

import numpy as np

from router.arrays import Floats
from router.pricing.coverage import Coverage
from router.pricing.prices import Program, dual_prices

FACTORS = (0.5, 0.75, 1.0)
"""Candidates, the most careful first."""
BUDGETS = (1.0, 2.0, 4.0, 8.0)
"""Shared budgets under which decisions are valued, in what the cheapest model needs."""
DOUBT = 0.5
"""Standard errors by which a more careful factor may seem worse than the best, and is taken."""


def departing(quality: Floats, means: Floats, factor: float) -> Floats:
    """Return scores float64[n, M] with their deviations from float64[M] means multiplied."""
    return means + factor * (quality - means)


def choose_factor(
    quality: Floats, cost: Floats, means: Floats, scores: Floats, costs: Floats
) -> float:
    """Choose how far estimates may depart from the means.

    Decisions are valued at the prices of the program on the full estimates, net of their true cost,
    so that each row's value stands by itself and differences between factors have standard errors.
    Only rows count of which every outcome is known.

    Args:
        quality: float64[n, M], leave-one-out estimates of scores.
        cost: float64[n, M], of costs, nano-units.
        means: float64[M], the models' mean scores.
        scores: float64[n, M], the outcomes; NaN where unknown.
        costs: float64[n, M] nano-units, likewise.

    Returns:
        One of `FACTORS`; the last where nothing can be valued.
    """
    known = np.flatnonzero((np.isfinite(scores) & np.isfinite(costs)).all(axis=1))
    if len(known) < 2:
        return FACTORS[-1]
    quality, cost, scores, costs = quality[known], cost[known], scores[known], costs[known]
    prices = _prices(quality, cost)
    values: list[Floats] = []
    for factor in FACTORS:
        estimate = departing(quality, means, factor)
        worth = [_values(estimate - price * cost, scores - price * costs) for price in prices]
        values.append(np.stack(worth).sum(axis=0))
    best = max(values, key=lambda value: float(value.sum()))
    for factor, value in zip(FACTORS, values, strict=True):
        behind = best - value
        if float(behind.mean()) <= DOUBT * float(behind.std()) / np.sqrt(len(known)):
            return factor
    return FACTORS[-1]


def _prices(quality: Floats, cost: Floats) -> list[float]:
    """Return the prices of money under shared budgets."""
    mean = cost.mean(axis=0)
    least = len(cost) * float(mean[mean > 0].min(initial=np.inf))
    if not np.isfinite(least):
        return [0.0]
    coverage = Coverage.shared(len(mean))
    programs = [Program(quality, [cost], coverage, np.array([b * least])) for b in BUDGETS]
    return [float(dual_prices(program)[0]) for program in programs]


def _values(net: Floats, true: Floats) -> Floats:
    """Return float64[n], the true net value of each row's model of highest estimated net value.

    A row without a positive one goes nowhere, which is worth 0.
    """
    chosen = net.argmax(axis=1)
    rows = np.arange(len(net))
    return np.where(net[rows, chosen] > 0, true[rows, chosen], 0.0)
