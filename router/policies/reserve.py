"""Reservations in order of arrival, on arrays."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints
from router.policies.base import NONE


def reserve_in_order(score: Floats, bound: Ints, free: Ints) -> Ints:
    """Give each query in turn the model of highest positive score that has room.

    The outcome is that of a loop over the queries in which each takes its reservation before the
    next one looks. Usually all best models have room, and one look at the totals shows it.
    Otherwise all queries before the first without room are settled at once, and the rest look
    again.

    Args:
        score: float64[n, M], -inf where a query may not go.
        bound: int64[n, M] nano-units that each model would reserve.
        free: int64[M] nano-units; not modified.

    Returns:
        int64[n] models, NONE where no model of positive score has room.
    """
    chosen = np.full(len(score), NONE, dtype=np.int64)
    left = free.copy()
    start = 0
    while start < len(score):
        # Room only shrinks: what does not fit now never will.
        open_score = np.where(bound[start:] <= left, score[start:], -np.inf)
        best = open_score.argmax(axis=1)
        wanting = np.flatnonzero(open_score[np.arange(len(best)), best] > 0)
        taken = np.zeros(open_score.shape, dtype=np.int64)
        taken[wanting, best[wanting]] = bound[start + wanting, best[wanting]]
        running = taken.cumsum(axis=0)
        late = np.flatnonzero((running > left).any(axis=1))
        end = int(late[0]) if len(late) else len(best)
        settled = wanting[wanting < end]
        chosen[start + settled] = best[settled]
        if end:
            left = left - running[end - 1]
        start += end
    return chosen
