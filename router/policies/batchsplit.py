"""The integer program on the present batch with all remaining money (baseline of the paper)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from router.arrays import Ints
from router.policies.base import NONE, Batch, Decisions, Policy

LARGEST = 256
"""Queries in one integer program, as in the paper."""
GAP = 1e-3
"""The search stops within this part of the optimum: nothing one could see, and far quicker."""
NODES = 200
"""And after so many nodes of the search tree: a count, not a clock, so that runs repeat."""


class BatchSplit(Policy):
    """Solves the paper's integer program for each batch by itself.

    max Σ d̂_ij x_ij  with  Σ_j b_ij x_ij ≤ free_i,  Σ_i x_ij ≤ 1,  x ∈ {0, 1}  (paper, eq. 1; with
    a row for each limit where budgets are not one a model).

    It is solved on one batch after the other, and keeps nothing for the batches to come.
    """

    name = "batchsplit"

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Solve batches of at most 256 one after the other."""
        n = len(batch.ids)
        left = free.copy()
        model = np.full(n, NONE, dtype=np.int64)
        for start in range(0, n, LARGEST):
            part = batch.take(slice(start, start + LARGEST))
            solved = self._solve(part, left)
            model[start : start + LARGEST] = solved
            left -= part.drawn(solved).sum(axis=1)
        reason = [
            "best" if choice != NONE else "no_budget" if allowed.any() else "not_allowed"
            for choice, allowed in zip(model, batch.allowed, strict=True)
        ]
        return Decisions(model, reason, np.ones(n))

    @staticmethod
    def _solve(batch: Batch, free: Ints) -> Ints:
        """Return int64[n], the models of one program's queries."""
        limits, bounds = batch.limits, batch.bounds
        fits = batch.allowed & limits.fits(free, bounds) & (batch.quality > 0)
        query, model = np.nonzero(fits)  # one variable for each pair that is possible at all
        chosen = np.full(len(fits), NONE, dtype=np.int64)
        if len(query) == 0:
            return chosen
        drawn = limits.drawn(query, model, bounds)
        part = drawn / np.maximum(free, 1)[:, None]  # limits of 1 keep tolerances meaningful
        limit, column = np.nonzero(part)
        constraint = coo_array(
            (
                np.concatenate([part[limit, column], np.ones(len(query))]),
                (
                    np.concatenate([limit, len(free) + query]),
                    np.concatenate([column, np.arange(len(query))]),
                ),
            ),
            shape=(len(free) + len(fits), len(query)),
        ).tocsr()
        result = milp(
            -batch.quality[query, model],
            integrality=np.ones(len(query)),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(constraint, ub=np.ones(constraint.shape[0])),
            # Without presolve HiGHS is as fast here, and keeps its own notes off the terminal.
            options={"mip_rel_gap": GAP, "node_limit": NODES, "presolve": False},
        )
        if result.x is None:
            return chosen
        left = free.copy()
        for index in np.flatnonzero(result.x > 0.5):
            # The solver's tolerance may overdraw a limit by a hair: the last query gives way.
            if (drawn[:, index] <= left).all():
                left -= drawn[:, index]
                chosen[query[index]] = model[index]
        return chosen
