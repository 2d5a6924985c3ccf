"""Names for the array types that cross module borders, and even samples of rows.

In shapes, n is a number of queries, M of models, H of rows of history and k of neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Estimates, scores, prices."""
Vectors = NDArray[np.float32]
"""Embeddings, one unit-norm row a text."""
Ints = NDArray[np.int64]
"""Amounts in nano-units, token counts, row numbers."""
Bools = NDArray[np.bool_]


def even_rows(count: int, most: int) -> Ints:
    """Choose rows spread evenly over a table.

    Args:
        count: Rows of the table.
        most: Rows to choose at the most.

    Returns:
        int64[min(count, most)] row numbers in rising order.
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
