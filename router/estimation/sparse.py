"""Products of sparse rows with dense tables, without the cost of a scipy array for each of them.

scipy's constructor checks what it is given, which takes longer than the product of one text's row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import _sparsetools, csr_array

from router.arrays import Vectors


class SparseRows(NamedTuple):
    """n sparse rows of a width, in compressed form.

    Attributes:
        weights: float32[entries].
        columns: int32[entries], column of each.
        edges: int32[n + 1], where each row begins and ends.
        width: Number of columns.
    """

    weights: Vectors
    columns: NDArray[np.int32]
    edges: NDArray[np.int32]
    width: int

    def array(self) -> csr_array:
        """Return the same as scipy's array."""
        return csr_array(
            (self.weights, self.columns, self.edges), shape=(len(self.edges) - 1, self.width)
        )

    def times(self, table: Vectors) -> Vectors:
        """Return float32[n, d], the product with float32[width, d]: the bits of scipy's own.

        Args:
            table: Row by row in memory, else it is copied.
        """
        n, d = len(self.edges) - 1, table.shape[1]
        product = np.zeros((n, d), dtype=np.float32)
        # What `array() @ table` calls.
        multiply: Any = _sparsetools.csr_matvecs
        rows = self.edges, self.columns, self.weights
        multiply(n, self.width, d, *rows, table.ravel(), product.ravel())
        return product
