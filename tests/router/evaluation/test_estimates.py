"""Offline estimates of every kind, and the means that some of them are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from router.estimation.index.base import NO_ROW
from router.evaluation.estimates import KINDS, neighbour_means
from tests.support.outcomes import ground


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_ranges(kind: str) -> None:
    """Scores within 0..1 and costs of at least 0, for the queries and for the history's rows."""
    data = ground()
    found = KINDS[kind](data.known)
    assert found.quality.shape == found.cost.shape == data.queries.scores.shape
    assert found.warm_quality.shape == found.warm_cost.shape == data.history.scores.shape
    for quality, cost in ((found.quality, found.cost), (found.warm_quality, found.warm_cost)):
        assert ((quality >= 0) & (quality <= 1)).all()
        assert (cost >= 0).all()
        assert np.isfinite(cost).all()


def test_part_of_the_queries_in_another_order() -> None:
    """The history's own estimates stay."""
    found = KINDS["exact"](ground().known)
    rows = np.array([5, 2])
    part = found.take(rows)
    assert_array_equal(part.quality, found.quality[rows])
    assert_array_equal(part.cost, found.cost[rows])
    assert part.warm_quality is found.warm_quality


def test_means_are_over_known_outcomes_of_real_neighbours() -> None:
    """Where no neighbour's outcome is known it is the model's mean over all rows."""
    outcomes = np.array([[1.0, np.nan], [3.0, np.nan], [8.0, 6.0]])
    neighbours = np.array([[0, 1], [1, NO_ROW], [2, 0], [NO_ROW, NO_ROW]])
    assert_array_equal(neighbour_means(outcomes, neighbours), [[2, 6], [3, 6], [4.5, 6], [4, 6]])
