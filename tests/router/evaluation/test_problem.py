"""A problem: queries with their outcomes, limits and estimates."""

from __future__ import annotations

from dataclasses import replace

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


class TestWindows:
    def test_each_window_is_a_limit_of_its_own(self) -> None:
        """For programs that see all arrivals at once."""
        put = ground().problem(Setting())
        lengths = np.array([20.0, np.inf, np.inf])
        coverage, limits = replace(put, lengths=lengths).by_window()
        first, *others = put.catalog.names
        assert coverage.names == (
            f"{first} 0",
            f"{first} 1",
            f"{first} 2",
            *(f"{o} 0" for o in others),
        )
        assert limits.tolist() == [put.limits[0]] * 3 + put.limits[1:].tolist()
        assert coverage.queries is not None
        assert coverage.queries.sum(axis=1).tolist() == [20, 20, 8, 48, 48]

    def test_without_windows_limits_stay(self) -> None:
        """Nothing tells queries apart."""
        put = ground().problem(Setting())
        coverage, limits = put.by_window()
        assert coverage.queries is None
        assert limits is put.limits
        assert not put.begins().any()
        assert put.totals.tolist() == put.limits.tolist()
