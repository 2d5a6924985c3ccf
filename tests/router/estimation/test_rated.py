"""Ratings in the place of expected scores: local ones near the query, games from scored answers."""

from __future__ import annotations

import numpy as np
import pytest

from router.estimation.estimator import Estimator
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex
from router.estimation.rated import RatedEstimator
from router.policies.elo import PUBLISHED

MODELS = ("a", "b", "c")


@pytest.fixture(scope="module")
def rated() -> RatedEstimator:
    """Model a is good on one half of the circle, b on the other; c is never better."""
    angle = np.linspace(0, np.pi, 200)[np.random.default_rng(0).permutation(200)]
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    left = angle > np.pi / 2
    scores = np.stack([~left, left, np.zeros(200)], axis=1).astype(np.float64)
    history = History([f"h{i}" for i in range(200)], vectors, scores, np.full((200, 3), 1000.0))
    base = Estimator.fit(history, ExactIndex(vectors))
    return RatedEstimator(base, MODELS, PUBLISHED)


def test_the_neighbours_decide(rated: RatedEstimator) -> None:
    """Each half of the queries has its own best model, in any company."""
    ends = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    found = rated.estimate(ends)
    assert found.quality.argmax(axis=1).tolist() == [0, 1]
    assert ((found.quality > 0) & (found.quality < 1)).all()
    assert np.array_equal(rated.estimate(ends[1:]).quality, found.quality[1:])
    assert found.neighbours.shape == (2, PUBLISHED.neighbours)
    assert np.array_equal(found.cost, rated.base.estimate(ends).cost)


def test_unknown_queries_have_global_ratings(rated: RatedEstimator) -> None:
    """Without neighbours models stand in the order of their global ratings."""
    found = rated.usual(2)
    ratings = [rated.ratings[name] for name in MODELS]
    assert found.quality.argsort(axis=1).tolist() == [np.argsort(ratings).tolist()] * 2
    assert found.neighbours.shape == (2, PUBLISHED.neighbours)


def test_a_snapshot_replaces_global_ratings(rated: RatedEstimator) -> None:
    """Only models that it names change, and what is told already changes nothing."""
    assert rated.following({"ratings": rated.ratings}) is rated
    other = rated.following({"ratings": {"c": 2000.0, "x": 1.0}})
    assert other.ratings == {**rated.ratings, "c": 2000.0}
    assert other.usual(1).quality.argmax() == 2


def test_a_scored_answer_plays_against_the_neighbours(rated: RatedEstimator) -> None:
    """Its results are means over the neighbours' outcomes; equals draw, strangers do not count."""
    good = rated.history.scores[:, 0] == 1
    a, b = (np.array(rated.history.ids)[rows] for rows in (good, ~good))
    near = [a[0], a[1], b[0], "nobody"]
    assert rated.results("c", 1.0, near) == pytest.approx({"a": 4 / 6, "b": 5 / 6})
    assert rated.results("a", 0.0, near) == pytest.approx({"b": 2 / 6, "c": 0.5})
    assert rated.results("a", 0.0, ["nobody"]) == {}
