"""Elo ratings of models from recorded outcomes (Eagle, arXiv 2409.15518).

Every outcome of the history is a round in which each pair of models plays: the higher score wins,
equal scores draw, and a score that nobody knows does not play.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from router.arrays import Floats, Ints
from router.estimation.index.base import NO_ROW

START = 100.0
"""Rating of a model that has not played."""
SCALE = 400.0
K = 32.0
"""The most that one game moves a rating."""
PART = 0.5
"""P: the part of the global rating in a score; the rest is the local one."""
NEIGHBOURS = 20
"""N: the nearest queries whose games make a local rating."""


def expected(rating: Floats, other: Floats) -> Floats:
    """Return the probability that one rating wins against another: 1/(1+10^((R_b−R_a)/400))."""
    won: Floats = 1.0 / (1.0 + 10.0 ** ((other - rating) / SCALE))
    return won


def play(ratings: Floats, scores: Floats, k: float = K) -> None:
    """Play one round at each of n tables: R_a += k(S_a − E_a), R_b −= the same, pair after pair.

    Args:
        ratings: float64[n, M], changed in place.
        scores: float64[n, M] of the round, NaN where a model does not play.
        k: The most that one game moves a rating.
    """
    for a, b in combinations(range(ratings.shape[1]), 2):
        result = (1.0 + np.sign(scores[:, a] - scores[:, b])) / 2.0
        moved = k * (result - expected(ratings[:, a], ratings[:, b]))
        moved[np.isnan(moved)] = 0.0
        ratings[:, a] += moved
        ratings[:, b] -= moved


def global_ratings(scores: Floats, k: float = K) -> Floats:
    """Return float64[M], the ratings after all rounds of a history, in its order.

    Args:
        scores: float64[H, M], NaN where nobody knows.
        k: The most that one game moves a rating.
    """
    ratings = np.full((1, scores.shape[1]), START)
    for row in scores:
        play(ratings, row[None, :], k)
    overall: Floats = ratings[0]
    return overall


def local_ratings(overall: Floats, scores: Floats, neighbours: Ints, k: float = K) -> Floats:
    """Return float64[n, M]: the global ratings, after the neighbours' rounds, the nearest last.

    Args:
        overall: float64[M], the global ratings.
        scores: float64[H, M] of the history.
        neighbours: int64[n, N] rows of it, the nearest first, NO_ROW where there were fewer.
        k: The most that one game moves a rating.
    """
    ratings = np.tile(overall, (len(neighbours), 1))
    for place in neighbours.T[::-1]:
        play(ratings, np.where((place != NO_ROW)[:, None], scores[place], np.nan), k)
    return ratings


def chances(overall: Floats, local: Floats, part: float = PART) -> Floats:
    """Return float64[n, M] in (0, 1): how often each model would beat one that has not played.

    The order is that of Eagle's score, P·global + (1 − P)·local.
    """
    rating: Floats = part * overall + (1.0 - part) * local
    return expected(rating, np.full_like(rating, START))
