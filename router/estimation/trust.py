"""How far models may differ by query from how they differ on average, by what decisions are worth.

Of many noisy estimates a router takes the largest net of its price, and so, too often, one that is
too large (the optimizer's curse: Smith and Winkler 2006). Estimates of least squared error do not
protect from that where models are many and the history is small. So what a model's deviation from
its mean differs by from all models' is multiplied by a factor, chosen by the value that the
program's decisions on leave-one-out estimates would have had. What all models' deviations have in
common, how hard the query is, chooses no model by itself, is estimated far better, and stays.

It is for limits that several models share. A budget for each model leaves no choice of the largest
among all: there every model's budget is used up by the queries that suit it best, and full
estimates are worth more.
"""

from __future__ import annotations

import numpy as np

from router.arrays import Floats
from router.pricing.coverage import Coverage
from router.pricing.prices import Program, dual_prices

LEAST = 1e-6
"""No answer is sure to be worth nothing: where money is plenty, it is tried."""
FACTORS = (0.5, 0.75, 1.0)
"""Candidates, the most careful first."""
BUDGETS = (1.0, 2.0, 4.0, 8.0)
"""Shared budgets under which decisions are valued, in what the cheapest model needs."""
DOUBT = 0.5
"""Standard errors by which a more careful factor may seem worse than the best, and is taken."""


def departing(quality: Floats, means: Floats, factor: float) -> Floats:
    """Multiply the differences between models beyond those of their means.

    Args:
        quality: float64[n, M] scores.
        means: float64[M], by which models differ in any case.
        factor: 1 leaves scores between `LEAST` and 1 as they are.

    Returns:
        float64[n, M] scores between `LEAST` and 1.
    """
    off = quality - means
    # A cumulative sum adds in the same order whatever the shape, so no row's bits depend on others.
    common = off.cumsum(axis=1)[:, -1:] / off.shape[1]
    found: Floats = np.clip(means + common + factor * (off - common), LEAST, 1.0)
    return found


def choose_factor(
    quality: Floats, cost: Floats, means: Floats, scores: Floats, costs: Floats
) -> float:
    """Choose the factor of `departing`.

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
    prices = shared_prices(quality, cost)
    values: list[Floats] = []
    for factor in FACTORS:
        estimate = departing(quality, means, factor)
        worth = [
            decided_values(estimate - price * cost, scores - price * costs) for price in prices
        ]
        values.append(np.stack(worth).sum(axis=0))
    best = max(values, key=lambda value: float(value.sum()))
    for factor, value in zip(FACTORS, values, strict=True):
        behind = best - value
        if float(behind.mean()) <= DOUBT * float(behind.std()) / np.sqrt(len(known)):
            return factor
    return FACTORS[-1]


def shared_prices(quality: Floats, cost: Floats) -> list[float]:
    """Return the prices of money under shared budgets."""
    mean = cost.mean(axis=0)
    least = len(cost) * float(mean[mean > 0].min(initial=np.inf))
    if not np.isfinite(least):
        return [0.0]
    coverage = Coverage.shared(len(mean))
    programs = [Program(quality, [cost], coverage, np.array([b * least])) for b in BUDGETS]
    return [float(dual_prices(program)[0]) for program in programs]


def decided_values(net: Floats, true: Floats) -> Floats:
    """Return float64[n], the true net value of each row's model of highest estimated net value.

    A row without a positive one goes nowhere, which is worth 0.
    """
    chosen = net.argmax(axis=1)
    rows = np.arange(len(net))
    return np.where(net[rows, chosen] > 0, true[rows, chosen], 0.0)
