"""The two references that are not policies: linear programs over all arrivals at once."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from router.arrays import Bools, Floats, Ints
from router.evaluation.problem import Problem
from router.policies.base import NONE


def best_assignment(quality: Floats, cost: Floats, limits: Ints, available: Bools) -> Ints:
    """Solve the paper's relaxed program over all queries.

    max Σ d_ij x_ij with Σ_j g_ij x_ij ≤ B_i and Σ_i x_ij ≤ 1 (paper, eq. 1)

    At most M queries are split in an optimum of the relaxed program; each goes to its largest part,
    NONE included.

    Args:
        quality: float64[n, M].
        cost: float64[n, M] nano-units.
        limits: int64[M] nano-units.
        available: bool[n, M].

    Returns:
        int64[n] models, NONE for none.

    Raises:
        RuntimeError: The solver found no optimum.
    """
    n = len(quality)
    chosen = np.full(n, NONE, dtype=np.int64)
    scale = np.maximum(limits, 1)
    query, model = np.nonzero(available & (quality > 0) & (cost <= limits))
    if len(query) == 0:
        return chosen
    pair = np.arange(len(query))
    values = np.concatenate([cost[query, model] / scale[model], np.ones(len(query))])
    places = (np.concatenate([model, len(limits) + query]), np.concatenate([pair, pair]))
    table = coo_array((values, places), shape=(len(limits) + n, len(query))).tocsr()
    result = linprog(
        -quality[query, model], A_ub=table, b_ub=np.ones(len(limits) + n), method="highs"
    )
    if result.x is None:
        raise RuntimeError(f"the linear program of {n} queries was not solved: {result.message}")
    part = np.zeros((n, len(limits) + 1))
    part[query, model] = result.x
    part[:, -1] = 1.0 - part.sum(axis=1)
    best = part.argmax(axis=1)
    return np.where(best < len(limits), best, NONE)


def assign_on_estimates(problem: Problem, kind: str = "reference") -> Ints:
    """Return int64[n], the program's assignment on estimates: the paper's 100 %."""
    estimates = problem.estimates(kind)
    return best_assignment(estimates.quality, estimates.cost, problem.limits, problem.available())


def assign_on_truth(problem: Problem) -> Ints:
    """Return int64[n], the program's assignment on the true outcomes: an upper bound."""
    costs = problem.costs.astype(np.float64)
    return best_assignment(problem.scores, costs, problem.limits, problem.available())
