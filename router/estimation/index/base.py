"""What every neighbour index promises: the most similar rows of a history, for many queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from router.arrays import Ints, Vectors

NO_ROW = -1
"""The row number (and the similarity) in places for which there was no neighbour."""


class Neighbours(NamedTuple):
    """rows: int64[n, k] row numbers; similarity: float32[n, k] cosines, highest first.

    Where an index found fewer than k, the rest of a line is NO_ROW in both.
    """

    rows: Ints
    similarity: Vectors


class NeighbourIndex(ABC):
    """Row numbers 0..len-1 in the order in which vectors were given; they never change.

    `search` may be called from several threads at once and releases the GIL where it can. What a
    query finds does not depend on the other queries of the same call.
    """

    dimension: int

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    def search(self, vectors: Vectors, k: int) -> Neighbours:
        """The k most similar rows for each of float32[n, dimension] unit vectors; n may be 0.

        Raises ValueError for another dimension or k < 1.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ValueError(
                f"queries of shape {vectors.shape}, but the index holds vectors of dimension "
                f"{self.dimension}: use the embedder that the index was built with"
            )
        if k < 1:
            raise ValueError(f"k is {k}, but at least one neighbour must be asked for")
        if not len(vectors) or not len(self):
            return nothing(len(vectors), k)
        return self._search(vectors, k)

    @abstractmethod
    def _search(self, vectors: Vectors, k: int) -> Neighbours:
        """`search` for at least one query on at least one row."""


def nothing(n: int, k: int) -> Neighbours:
    """Neighbours with every place empty."""
    return Neighbours(
        np.full((n, k), NO_ROW, dtype=np.int64), np.full((n, k), NO_ROW, dtype=np.float32)
    )


def best(rows: Ints, similarity: Vectors, k: int) -> Neighbours:
    """The k best of m candidates a query, both [n, m], where rows of NO_ROW come last.

    Equal similarities are ordered by row number, so that the outcome is one and the same.
    """
    key = np.where(rows == NO_ROW, np.float32(np.inf), -similarity)
    order = np.lexsort((rows, key), axis=1)[:, :k]
    found = nothing(len(rows), k)
    width = order.shape[1]
    line = np.arange(len(rows))[:, None]
    found.rows[:, :width] = rows[line, order]
    found.similarity[:, :width] = similarity[line, order]
    found.similarity[found.rows == NO_ROW] = NO_ROW
    return found


def without_itself(found: Neighbours, rows: Ints) -> Neighbours:
    """Leave each query, itself a row of the index, out of its own neighbours.

    Where duplicates pushed it out of the list, the last neighbour goes instead.

    Args:
        found: k + 1 neighbours of n queries.
        rows: int64[n], the queries' own row numbers.

    Returns:
        k neighbours of each query.
    """
    own = found.rows == rows[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), found.rows.shape[1] - 1)
    return Neighbours(found.rows[~own].reshape(shape), found.similarity[~own].reshape(shape))
