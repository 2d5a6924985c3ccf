"""For queries that carry their embedding: nothing is computed here."""

from __future__ import annotations

from router.arrays import Vectors
from router.estimation.embedders.base import Embedder, EmbeddingError


class GivenEmbedder(Embedder):
    """States what vectors the queries bring, and refuses a query that brings none."""

    immediate = True

    def __init__(self, dimension: int, model: str = "unnamed") -> None:
        """`model` says where the vectors come from; history and queries must agree on it."""
        if dimension < 1:
            raise ValueError(f"dimension is {dimension}, but must be at least 1")
        self.dimension = dimension
        self.name = f"given/{model}/{dimension}"

    def _embed(self, texts: list[str]) -> Vectors:
        raise EmbeddingError(
            f"{len(texts)} texts came without an embedding, and embedder 'given' computes none: "
            f"send `embedding` ({self.dimension} numbers) with each query, or configure another "
            "embedder"
        )
