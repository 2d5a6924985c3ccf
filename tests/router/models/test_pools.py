"""Which pool takes a request."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from router.models.pools import NONE, saving, shortest_pool

CONTEXTS = (2_048, 8_192, 65_536)


def test_the_shortest_that_holds_it() -> None:
    """Up to its last token; nothing takes what is longer than all."""
    tokens = np.array([[1, 2_048], [2_049, 8_193], [65_536, 65_537]])
    assert_array_equal(shortest_pool(tokens, CONTEXTS), [[0, 0], [1, 2], [2, NONE]])


def test_a_busy_pool_spills_to_a_longer_one_only() -> None:
    """Past pools that are busy, too; a short one that is free takes no long request."""
    tokens = np.array([100, 5_000, 50_000])
    assert_array_equal(shortest_pool(tokens, CONTEXTS, np.array([0.9, 0.0, 0.0])), [1, 1, 2])
    assert_array_equal(shortest_pool(tokens, CONTEXTS, np.array([0.9, 0.9, 0.0])), [2, 2, 2])
    assert_array_equal(shortest_pool(tokens, CONTEXTS, np.array([0.0, 0.9, 0.9])), [0, 1, 2])


def test_where_all_are_busy_nothing_moves() -> None:
    """A spill would only make a long pool wait."""
    load = np.array([0.9, 0.9, 2.0])
    assert_array_equal(shortest_pool(np.array([100, 5_000, 50_000]), CONTEXTS, load), [0, 1, 2])


def test_pools_in_another_order_are_refused() -> None:
    """Also two of one length: which of them is meant is not said."""
    for contexts in ((8_192, 2_048), (2_048, 2_048)):
        with pytest.raises(ValueError, match="ordered"):
            shortest_pool(np.array([1]), contexts)


def test_the_saving_is_that_of_the_closed_form() -> None:
    """Nothing without a gain, and never more than the share of short requests."""
    assert saving(0.8, 1.0) == 0.0
    assert saving(0.8, 4.0) == pytest.approx(0.6)
    assert saving(0.8, 1e9) == pytest.approx(0.8)
