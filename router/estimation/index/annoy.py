"""Annoy's forest of random projection trees: a memory-mapped file that processes share."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import annoy
import numpy as np

from router.arrays import Vectors
from router.estimation.index.base import NeighbourIndex, Neighbours, best, nothing

TREES = 20
SEARCH_K = 100
"""Candidates compared for a query. More find more of the nearest (benchmarks/index.py), and route
no better (benchmarks/decision.py: 800 gain nothing)."""


class AnnoyIndex(NeighbourIndex):
    """Approximate neighbours by angle. The rows are fixed once built."""

    def __init__(
        self, path: Path, dimension: int, search_k: int = SEARCH_K, threads: int = 1
    ) -> None:
        """Map the file. Raises OSError where it is missing or is no index of that dimension.

        A truncated file can pass here: `router.estimation.index.manifest` compares checksums.
        """
        self.dimension = dimension
        self.search_k = search_k
        self._index = annoy.AnnoyIndex(dimension, "angular")
        try:
            self._index.load(str(path))
        except OSError as error:
            raise OSError(f"{path} is no Annoy index of dimension {dimension}: {error}") from error
        self._rows = self._index.get_n_items()
        self._pool = ThreadPoolExecutor(threads, "annoy") if threads > 1 else None
        self._threads = threads

    @classmethod
    def build(
        cls,
        vectors: Vectors,
        path: Path,
        *,
        trees: int = TREES,
        search_k: int = SEARCH_K,
        threads: int = 1,
    ) -> AnnoyIndex:
        """Build from float32[rows, dimension] unit vectors into `path`, then map it.

        The file appears whole or not at all. The same vectors give the same file (Annoy's seed
        is fixed, and one thread builds). Raises ValueError for no rows, OSError where it cannot
        be written.
        """
        if vectors.ndim != 2 or not len(vectors):
            raise ValueError(f"an Annoy index needs [rows, dimension] vectors, not {vectors.shape}")
        forest = annoy.AnnoyIndex(vectors.shape[1], "angular")
        for row, vector in enumerate(vectors):
            forest.add_item(row, vector.tolist())
        forest.build(trees, n_jobs=1)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".draft")
        os.close(handle)
        try:
            forest.save(draft)
            os.replace(draft, path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        return cls(path, vectors.shape[1], search_k, threads)

    def __len__(self) -> int:
        return int(self._rows)

    def _search(self, vectors: Vectors, k: int) -> Neighbours:
        if self._pool is None or len(vectors) < 2 * self._threads:
            return self._find(vectors, k)
        parts = list(
            self._pool.map(self._find, np.array_split(vectors, self._threads), [k] * self._threads)
        )
        return Neighbours(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.similarity for part in parts]),
        )

    def _find(self, vectors: Vectors, k: int) -> Neighbours:
        found = nothing(len(vectors), k)
        nearest, search_k = self._index.get_nns_by_vector, self.search_k
        for i, vector in enumerate(vectors.tolist()):  # lists go in faster than array rows
            rows, distances = nearest(vector, k, search_k, True)
            found.rows[i, : len(rows)] = rows
            found.similarity[i, : len(rows)] = distances
        # Annoy's angular distance is sqrt(2 - 2 cos).
        cosine = 1 - found.similarity**2 / 2
        return best(found.rows, cosine.astype(np.float32), k)
