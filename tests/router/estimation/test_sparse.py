"""What must hold of sparse rows: scipy's products, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from router.estimation.sparse import SparseRows


@pytest.mark.parametrize("lengths", [[], [0], [3], [2, 0, 5, 1]], ids=str)
def test_the_product_is_scipy_s(lengths: list[int]) -> None:
    """It is the product of the same scipy array, also of empty rows and of none."""
    draws = np.random.default_rng(1)
    edges = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    columns = draws.integers(0, 9, edges[-1]).astype(np.int32)
    weights = draws.random(edges[-1], dtype=np.float32)
    table = draws.random((9, 4), dtype=np.float32)
    rows = SparseRows(weights, columns, edges, 9)
    assert_array_equal(rows.times(table), rows.array() @ table)
    assert rows.times(table).shape == (len(lengths), 4)


def test_the_table_may_have_no_columns() -> None:
    """Features of a history without words in common have none."""
    rows = SparseRows(
        *(np.ones(1, np.float32), np.zeros(1, np.int32), np.array([0, 1], np.int32), 2)
    )
    assert rows.times(np.zeros((2, 0), dtype=np.float32)).shape == (1, 0)
