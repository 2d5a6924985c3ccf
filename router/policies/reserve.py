"""Reservations in order of arrival, on arrays, and the decisions that they make."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints
from router.policies.base import NONE, Batch, Decisions

_REASONS = ("best", "next_best", "no_budget", "not_worth", "not_allowed")


def reserve_in_order(score: Floats, batch: Batch, free: Ints) -> Ints:
    """Give each query in turn the model of highest positive score that has room.

    The outcome is that of a loop over the queries in which each takes its reservation, of every
    limit that it draws on, before the next one looks. Usually all best models have room, and one
    look at the totals shows it. Otherwise all queries before the first without room are settled at
    once, and the rest look again.

    Args:
        score: float64[n, M], -inf where a query may not go.
        batch: Its limits, and the reservations that each model would need.
        free: int64[R], what each limit still holds; not modified.

    Returns:
        int64[n] models, NONE where no model of positive score has room.
    """
    chosen = np.full(len(score), NONE, dtype=np.int64)
    limits, bounds = batch.limits, batch.bounds
    left = free.copy()
    start = 0
    while start < len(score):
        rest = slice(start, None)
        # Room only shrinks: what does not fit now never will.
        fits = limits.take(rest).fits(left, [table[rest] for table in bounds])
        open_score = np.where(fits, score[rest], -np.inf)
        best = open_score.argmax(axis=1)
        wanting = np.flatnonzero(open_score[np.arange(len(best)), best] > 0)
        drawn = limits.drawn(start + wanting, best[wanting], bounds).cumsum(axis=1)
        late = np.flatnonzero((drawn > left[:, None]).any(axis=0))
        count = int(late[0]) if len(late) else len(wanting)
        settled = wanting[:count]
        chosen[start + settled] = best[settled]
        if count:
            left = left - drawn[:, count - 1]
        start += int(wanting[count]) if len(late) else len(best)
    return chosen


def best_first(score: Floats, batch: Batch, free: Ints, version: int) -> Decisions:
    """Decide by scores alone: the highest positive one that has room, in order of arrival.

    Args:
        score: float64[n, M], -inf where a query may not go.
        batch: The queries.
        free: int64[R], what each limit still holds.
        version: Of the prices that are in the scores.
    """
    chosen = reserve_in_order(score, batch, free)
    top = score.max(axis=1, initial=-np.inf)
    rows = np.arange(len(chosen))
    first = (chosen != NONE) & (score[rows, chosen] == top)
    placed, wanted, possible = chosen != NONE, top > 0, batch.allowed.any(axis=1)
    which = np.where(placed, np.where(first, 0, 1), np.where(wanted, 2, np.where(possible, 3, 4)))
    preferred = np.where(wanted, score.argmax(axis=1), NONE)
    reason = [_REASONS[code] for code in which.tolist()]
    return Decisions(chosen, reason, np.ones(len(chosen)), version, preferred)
