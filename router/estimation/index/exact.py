"""Exact neighbours: one matrix product a block of queries. For small histories and buffers."""

from __future__ import annotations

import numpy as np

from router.arrays import Vectors
from router.estimation.index.base import NeighbourIndex, Neighbours, best

BLOCK_VALUES = 2_500_000
"""Similarities held at once (10 MB, which caches like); queries are cut into blocks accordingly."""
LEAST_BLOCK = 32
"""Queries in a block at least, however long the history: fewer would read it over and over."""
SPARE = 8
"""Candidates beyond k that are ranked again. BLAS rounds a product differently with the shape of
its block, so the k best of the product alone could change with the other queries of a call."""


class ExactIndex(NeighbourIndex):
    """Compares each query with every row: memory and time grow with both."""

    def __init__(self, vectors: Vectors) -> None:
        """Search among float32[rows, dimension] unit vectors, which are kept, not copied."""
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise ValueError(
                f"vectors are {vectors.dtype}{vectors.shape}, not float32[rows, dimension]"
            )
        self._vectors = vectors
        self.dimension = vectors.shape[1]

    def __len__(self) -> int:
        return len(self._vectors)

    def _search(self, vectors: Vectors, k: int) -> Neighbours:
        block = max(LEAST_BLOCK, BLOCK_VALUES // len(self))
        parts = [self._block(vectors[i : i + block], k) for i in range(0, len(vectors), block)]
        if len(parts) == 1:
            return parts[0]
        return Neighbours(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.similarity for part in parts]),
        )

    def _block(self, vectors: Vectors, k: int) -> Neighbours:
        count = min(k + SPARE, len(self))
        product = vectors @ self._vectors.T
        rows = np.argpartition(product, len(self) - count, axis=1)[:, len(self) - count :]
        # One plain sum for each pair: the same bits whatever the block.
        similarity = np.einsum("nkd,nd->nk", self._vectors[rows], vectors)
        return best(rows, similarity, k)
