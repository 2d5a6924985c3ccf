"""Elo ratings are those of the formulas, and prefer who wins nearby."""

from __future__ import annotations

import numpy as np
import pytest

from router.estimation.index.base import NO_ROW
from router.policies import elo

NAN = float("nan")


def test_one_game_by_hand() -> None:
    """Equals play for half of K; an upset moves more, a draw moves towards each other."""
    ratings = np.array([[100.0, 100.0], [500.0, 100.0], [500.0, 100.0]])
    elo.play(ratings, np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), 32.0)
    upset = 32 * 10 / 11
    assert ratings[0].tolist() == [116.0, 84.0]
    assert ratings[1] == pytest.approx([500 - upset, 100 + upset])
    assert ratings[2] == pytest.approx([500 + 16 - upset, 100 - 16 + upset])


def test_points_are_neither_made_nor_lost() -> None:
    """The sum of ratings stays, also where scores are missing; who never plays keeps the start."""
    scores = np.random.default_rng(0).uniform(size=(200, 4))
    scores[::3, 1], scores[:, 3] = NAN, NAN
    ratings = elo.global_ratings(scores, 32.0)
    assert ratings.sum() == pytest.approx(400.0)
    assert ratings[3] == elo.START


def test_local_is_a_replay_of_the_neighbours() -> None:
    """Each query's own loop over its neighbours, nearest last, gives the same; none, the global."""
    random = np.random.default_rng(1)
    scores, neighbours = random.uniform(size=(50, 3)), random.integers(0, 50, (6, 5))
    neighbours[0, 2:], neighbours[1] = NO_ROW, NO_ROW
    overall = elo.global_ratings(scores, 32.0)
    local = elo.local_ratings(overall, scores, neighbours, 32.0)
    for rows, found in zip(neighbours, local, strict=True):
        one = overall[None, :].copy()
        for row in rows[::-1]:
            if row != NO_ROW:
                elo.play(one, scores[row][None, :], 32.0)
        assert found.tolist() == one[0].tolist()
    assert local[1].tolist() == overall.tolist()


def test_chances_follow_the_weighted_rating() -> None:
    """P weighs global against local ratings; a rating of the start is an even chance."""
    overall, local = np.array([100.0, 300.0]), np.array([[400.0, 100.0]])
    assert elo.chances(overall, local, 1.0)[0] == pytest.approx([0.5, 1 / (1 + 10**-0.5)])
    assert elo.chances(overall, local, 0.0).argmax() == 0
    assert elo.chances(overall, local, 0.9).argmax() == 1


@pytest.mark.parametrize("models", [1, 2, 3, 4, 7, 8])
def test_each_pair_meets_once(models: int) -> None:
    """The pairs of a round are all that there are, and nobody plays twice at a time."""
    met = []
    for a, b in elo.pairings(models):
        at_once = [*a.tolist(), *b.tolist()]
        assert len(set(at_once)) == len(at_once)
        met += [tuple(sorted(pair)) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    assert sorted(met) == [(a, b) for a in range(models) for b in range(a + 1, models)]


def test_an_update_is_a_game() -> None:
    """Single games move ratings as a round of two does; models that nobody rates do not play."""
    ratings = {"a": 150.0, "b": 100.0}
    elo.update(ratings, "a", {"b": 0.0, "a": 1.0, "x": 1.0}, 32.0)
    round_of_two = np.array([[150.0, 100.0]])
    elo.play(round_of_two, np.array([[0.0, 1.0]]), 32.0)
    assert list(ratings.values()) == pytest.approx(round_of_two[0].tolist())
    before = dict(ratings)
    elo.update(ratings, "x", {"a": 1.0}, 32.0)
    assert ratings == before
