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

    max Σ d̂_ij x_ij  with  Σ_j b_ij x_ij ≤ free_i,  Σ_i x_ij ≤ 1,  x ∈ {0, 1}  (paper, eq. 1).

    It is solved on one batch after the other, and keeps nothing for the batches to come.
    """

    name = "batchsplit"

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Solve batches of at most 256 one after the other."""
        n = len(batch.ids)
        left = free.copy()
        model = np.full(n, NONE, dtype=np.int64)
        for start in range(0, n, LARGEST):
            rows = np.arange(start, min(start + LARGEST, n))
            model[rows] = self._solve(batch, rows, left)
            taken = rows[model[rows] != NONE]
            np.subtract.at(left, model[taken], batch.bound[taken, model[taken]])
        reason = [
            "best" if choice != NONE else "no_budget" if allowed.any() else "not_allowed"
            for choice, allowed in zip(model, batch.allowed, strict=True)
        ]
        return Decisions(model, reason, np.ones(n))

    @staticmethod
    def _solve(batch: Batch, rows: Ints, free: Ints) -> Ints:
        """Return int64[len(rows)], the models of one program's queries."""
        fits = batch.allowed[rows] & (batch.bound[rows] <= free) & (batch.quality[rows] > 0)
        query, model = np.nonzero(fits)  # one variable for each pair that is possible at all
        chosen = np.full(len(rows), NONE, dtype=np.int64)
        if len(query) == 0:
            return chosen
        bound = batch.bound[rows][query, model]
        scale = np.maximum(free, 1)  # budgets of 1 keep the solver's tolerances meaningful
        pair = np.arange(len(query))
        constraint = coo_array(
            (
                np.concatenate([bound / scale[model], np.ones(len(query))]),
                (np.concatenate([model, len(free) + query]), np.concatenate([pair, pair])),
            ),
            shape=(len(free) + len(rows), len(query)),
        ).tocsr()
        result = milp(
            -batch.quality[rows][query, model],
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
            # The solver's tolerance may overdraw a budget by a hair: the last query gives way.
            if bound[index] <= left[model[index]]:
                left[model[index]] -= bound[index]
                chosen[query[index]] = model[index]
        return chosen
