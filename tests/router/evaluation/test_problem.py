"""A problem: queries with their outcomes, limits and estimates."""

from __future__ import annotations

import numpy as np

from router.evaluation.experiment import Setting
from tests.support.outcomes import ground


def test_reordering_keeps_queries_whole() -> None:
    """Ids, outcomes and estimates move together."""
    put = ground().problem(Setting())
    order = np.random.default_rng(0).permutation(len(put))
    moved = put.reordered(order)
    assert [moved.ids[i] for i in range(3)] == [put.ids[row] for row in order[:3]]
    assert np.array_equal(moved.scores, put.scores[order])
    assert np.array_equal(moved.estimates("exact").cost, put.estimates("exact").cost[order])
