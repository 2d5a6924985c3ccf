"""Policies that name one model a query and know no second choice."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints
from router.policies.base import NONE, Batch, Decisions


def best_allowed(value: Floats, batch: Batch) -> Ints:
    """int64[n]: the allowed model of highest value (the first of equals), NONE where none is.

    value: float64[n, M] or [M].
    """
    if batch.allowed.size == 0:
        return np.full(len(batch.ids), NONE, dtype=np.int64)
    best = np.where(batch.allowed, value, -np.inf).argmax(axis=1)
    return np.where(batch.allowed.any(axis=1), best, NONE)


def reserve(chosen: Ints, batch: Batch, free: Ints, propensity: Floats | None = None) -> Decisions:
    """Give each query its one model, in order of arrival, while the money lasts.

    chosen: int64[n], NONE for a query that no model may take. A reservation that does not fit
    leaves the query without a model; a smaller one after it may still fit.
    propensity: float64[n] of the choice, 1 where left out.
    """
    left = free.copy()
    model = np.full(len(chosen), NONE, dtype=np.int64)
    reason = []
    for row, choice in enumerate(chosen):
        if choice == NONE:
            reason.append("not_allowed")
        elif batch.bound[row, choice] > left[choice]:
            reason.append("no_budget")
        else:
            left[choice] -= batch.bound[row, choice]
            model[row] = choice
            reason.append("best")
    return Decisions(model, reason, np.ones(len(chosen)) if propensity is None else propensity)
