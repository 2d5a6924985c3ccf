"""Elo ratings of models from outcomes and preferences (Eagle, arXiv 2409.15518).

Every outcome of the history is a round in which each pair of models plays: the higher score wins,
equal scores draw, and a score that nobody knows does not play.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass

import numpy as np

from router.arrays import Floats, Ints

START = 100.0
"""Rating of a model that has not played."""
SCALE = 400.0


@dataclass(frozen=True, slots=True)
class EloSettings:
    """Eagle's settings; the values are those of the paper.

    Attributes:
        part: P, the part of the global rating in a score; the rest is the local one.
        neighbours: N, the nearest queries whose games make a local rating.
        k: K, the most that one game moves a rating.
    """

    part: float = 0.5
    neighbours: int = 20
    k: float = 32.0


PUBLISHED = EloSettings()
"""The paper's."""


def expected(rating: Floats, other: Floats) -> Floats:
    """Return the probability that one rating wins against another: 1/(1+10^((R_b−R_a)/400))."""
    won: Floats = 1.0 / (1.0 + 10.0 ** ((other - rating) / SCALE))
    return won


def pairings(models: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield the games of a round, so that each pair meets once: disjoint pairs at a time.

    It is the circle method of tournaments: one model stays, the others move on by a place.
    """
    places = list(range(models)) + [-1] * (models % 2)  # who meets -1 rests
    half = len(places) // 2
    for _ in range(len(places) - 1):
        pairs = [
            (a, b)
            for a, b in zip(places[:half], places[: half - 1 : -1], strict=True)
            if min(a, b) >= 0
        ]
        yield np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
        places = [places[0], places[-1], *places[1:-1]]


def play(ratings: Floats, scores: Floats, k: float) -> None:
    """Play one round at each of n tables: R_a += k(S_a − E_a), R_b −= the same, pair after pair.

    Args:
        ratings: float64[n, M], changed in place.
        scores: float64[n, M] of the round, NaN where a model does not play.
        k: The most that one game moves a rating.
    """
    for a, b in pairings(ratings.shape[1]):
        _play(ratings, scores, a, b, k)


def _play(ratings: Floats, scores: Floats, a: Ints, b: Ints, k: float) -> None:
    """Play the games of disjoint pairs at all tables."""
    result = (1.0 + np.sign(scores[:, a] - scores[:, b])) / 2.0
    moved = k * (result - expected(ratings[:, a], ratings[:, b]))
    moved[np.isnan(moved)] = 0.0
    ratings[:, a] += moved
    ratings[:, b] -= moved


def global_ratings(scores: Floats, k: float) -> Floats:
    """Return float64[M], the ratings after all rounds of a history, in its order.

    Args:
        scores: float64[H, M], NaN where nobody knows.
        k: The most that one game moves a rating.
    """
    ratings = np.full((1, scores.shape[1]), START)
    games = list(pairings(scores.shape[1]))
    for row in scores[np.isfinite(scores).sum(axis=1) > 1]:
        for a, b in games:
            _play(ratings, row[None, :], a, b, k)
    overall: Floats = ratings[0]
    return overall


def local_ratings(overall: Floats, scores: Floats, neighbours: Ints, k: float) -> Floats:
    """Return float64[n, M]: the global ratings, after the neighbours' rounds, the nearest last.

    Args:
        overall: float64[M], the global ratings.
        scores: float64[H, M] of the history.
        neighbours: int64[n, N] rows of it, the nearest first, negative where there were fewer.
        k: The most that one game moves a rating.
    """
    ratings = np.tile(overall, (len(neighbours), 1))
    for place in neighbours.T[::-1]:
        play(ratings, np.where((place >= 0)[:, None], scores[place], np.nan), k)
    return ratings


def chances(overall: Floats, local: Floats, part: float) -> Floats:
    """Return float64[n, M] in (0, 1): how often each model would beat one that has not played.

    The order is that of Eagle's score, P·global + (1 − P)·local.
    """
    rating: Floats = part * overall + (1.0 - part) * local
    return expected(rating, np.full_like(rating, START))


def update(
    ratings: MutableMapping[str, float], model: str, results: Mapping[str, float], k: float
) -> None:
    """Play one model's games against others, one after the other: O(1) for each game.

    Args:
        ratings: By model, changed in place; models that it does not name do not play.
        model: Who plays.
        results: S against each other model: 1 won, 0.5 draw, 0 lost, or the mean of several games.
        k: The most that one game moves a rating.
    """
    if model not in ratings:
        return
    for other, result in results.items():
        if other in ratings and other != model:
            won = 1.0 / (1.0 + 10.0 ** ((ratings[other] - ratings[model]) / SCALE))
            moved = k * (result - won)
            ratings[model] += moved
            ratings[other] -= moved
