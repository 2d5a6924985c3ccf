"""The two references that are not policies: linear programs over all arrivals at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from router.arrays import Bools, Floats, Ints
from router.evaluation.problem import Problem
from router.policies.base import NONE
from router.pricing.prices import Program


def best_assignment(program: Program, available: Bools) -> Ints:
    """Solve the paper's relaxed program over all queries.

    max Σ d_ij x_ij with Σ_ij a_rij x_ij ≤ B_r and Σ_i x_ij ≤ 1 (paper, eq. 1, with any limits)

    At most R queries are split in an optimum of the relaxed program; each goes to its largest part,
    NONE included.

    Args:
        program: Queries and limits.
        available: bool[n, M].

    Returns:
        int64[n] models, NONE for none.

    Raises:
        RuntimeError: The solver found no optimum.
    """
    n, models = program.quality.shape
    limits = len(program.limits)
    query, model = np.nonzero(available & (program.quality > 0))
    drawn = program.coverage.drawn(query, model, program.amounts)
    fits = (drawn <= program.limits[:, None]).all(axis=0)
    query, model, drawn = query[fits], model[fits], drawn[:, fits]
    if len(query) == 0:
        return np.full(n, NONE, dtype=np.int64)
    limit, column = np.nonzero(drawn)
    values = drawn[limit, column] / program.limits[limit]
    table = coo_array(
        (
            np.concatenate([values, np.ones(len(query))]),
            (
                np.concatenate([limit, limits + query]),
                np.concatenate([column, np.arange(len(query))]),
            ),
        ),
        shape=(limits + n, len(query)),
    ).tocsr()
    result = linprog(
        -program.quality[query, model], A_ub=table, b_ub=np.ones(limits + n), method="highs"
    )
    if result.x is None:
        raise RuntimeError(f"the linear program of {n} queries was not solved: {result.message}")
    part = np.zeros((n, models + 1))
    part[query, model] = result.x
    part[:, -1] = 1.0 - part.sum(axis=1)
    best = part.argmax(axis=1)
    return np.where(best < models, best, NONE)


def _assign(problem: Problem, quality: Floats, amounts: Sequence[Floats]) -> Ints:
    coverage, limits = problem.by_window()
    program = Program(quality, amounts, coverage, limits.astype(np.float64))
    return best_assignment(program, problem.available())


def assign_on_estimates(problem: Problem, kind: str = "reference") -> Ints:
    """Return int64[n], the program's assignment on estimates: the paper's 100 %."""
    estimates = problem.estimates(kind)
    return _assign(problem, estimates.quality, problem.amounts(estimates.cost))


def assign_on_truth(problem: Problem) -> Ints:
    """Return int64[n], the program's assignment on the true outcomes: an upper bound."""
    amounts = [table.astype(np.float64) for table in problem.true_amounts()]
    return _assign(problem, problem.scores, amounts)
