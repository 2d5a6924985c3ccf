"""Which pool takes a request."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from router.models.pools import NONE, shortest_pool

CONTEXTS = (2_048, 8_192, 65_536)


def test_the_shortest_that_holds_it() -> None:
    """Up to its last token; nothing takes what is longer than all."""
    tokens = np.array([[1, 2_048], [2_049, 8_193], [65_536, 65_537]])
    assert_array_equal(shortest_pool(tokens, CONTEXTS), [[0, 0], [1, 2], [2, NONE]])


def test_a_busy_pool_spills_to_a_longer_one_only() -> None:
    """Past pools that are busy, too; a short one that is free takes no long request."""
    tokens = np.array([100, 5_000, 50_000])
    assert_array_equal(shortest_pool(tokens, CONTEXTS, np.array([True, False, False])), [1, 1, 2])
    assert_array_equal(shortest_pool(tokens, CONTEXTS, np.array([True, True, False])), [2, 2, 2])
    assert_array_equal(shortest_pool(tokens, CONTEXTS, np.array([False, True, True])), [0, 1, 2])


def test_where_all_are_busy_nothing_moves() -> None:
    """A spill would only make a long pool wait."""
    busy = np.array([True, True, True])
    assert_array_equal(shortest_pool(np.array([100, 5_000, 50_000]), CONTEXTS, busy), [0, 1, 2])


@given(
    st.integers(0, 12),
    st.lists(st.tuples(st.integers(1, 10), st.booleans()), unique_by=lambda one: one[0]),
)
def test_no_request_goes_where_it_does_not_fit(tokens: int, pools: list[tuple[int, bool]]) -> None:
    """Of those that hold it, it goes to the first that is not busy; where all are, to the first."""
    pools = sorted(pools)
    contexts, busy = [context for context, _ in pools], [one for _, one in pools]
    hold = [pool for pool, context in enumerate(contexts) if context >= tokens]
    quiet = [pool for pool in hold if not busy[pool]]
    expected = (quiet or hold or [NONE])[0]
    found = shortest_pool(np.array([tokens]), contexts, np.array(busy, dtype=np.bool_))
    assert found.tolist() == [expected]


def test_pools_in_another_order_are_refused() -> None:
    """Also two of one length: which of them is meant is not said."""
    for contexts in ((8_192, 2_048), (2_048, 2_048)):
        with pytest.raises(ValueError, match="ordered"):
            shortest_pool(np.array([1]), contexts)
