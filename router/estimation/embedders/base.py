"""What every embedder promises: texts in, unit vectors out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from router.arrays import Vectors


class EmbeddingError(ValueError):
    """No usable vectors could be made. The message names the embedder and what was wrong."""


class Embedder(ABC):
    """Turns texts into vectors whose dot product is their cosine similarity.

    One instance may be used from several threads at once. The same text gives the same vector
    (to float32 rounding) whatever texts it is encoded with.
    """

    name: str
    """Names the vectors, weights included: an index is only searched with the name it was built
    with."""
    dimension: int
    immediate: bool = False
    """Whether a text takes less than a millisecond, without waiting for anything."""
    max_characters: int = 8192
    """Longer texts are embedded by their beginning. Bounds time and memory for any input."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32[n, dimension], each row of unit norm, in the order of the texts; n may be 0.

        An empty text is embedded as a single space. Raises EmbeddingError where the vectors
        cannot be had (a server that is away, values that are not finite, a wrong dimension).
        """
        if isinstance(texts, str):
            raise TypeError("encode takes a sequence of texts, not one str: pass [text]")
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = self._embed([self._bounded(text) for text in texts])
        if len(vectors) != len(texts):
            raise EmbeddingError(f"{self.name} gave {len(vectors)} vectors for {len(texts)} texts")
        try:
            return unit(vectors, self.dimension)
        except ValueError as error:
            raise EmbeddingError(f"{self.name}: {error}") from error

    @abstractmethod
    def _embed(self, texts: list[str]) -> Vectors:
        """float32[n, dimension] of any norm, for n >= 1 texts that are valid UTF-8, not empty and
        not longer than `max_characters`."""

    def _bounded(self, text: str) -> str:
        text = text[: self.max_characters]
        if not text.isascii():  # a lone surrogate cannot be written as UTF-8: it becomes "?"
            text = text.encode("utf-8", "replace").decode("utf-8")
        return text or " "


def unit(vectors: ArrayLike, dimension: int) -> Vectors:
    """The rows at unit norm, float32[n, dimension]; the argument is left as it is.

    A row of zeros has no direction and becomes the first axis. Raises ValueError for another
    dimension, or for values that are not finite, naming the first such row.
    """
    rows = np.array(vectors, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise ValueError(f"vectors of shape {rows.shape}, but [n, {dimension}] is needed")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise ValueError(f"vector {int(np.argmin(finite))} holds a value that is not finite")
    # Dividing by the largest value first keeps the squares inside float32.
    largest = np.abs(rows).max(axis=1, initial=0.0)
    zero = largest == 0
    if zero.any():
        rows[zero, 0] = largest[zero] = 1.0
    rows /= largest[:, None]
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows
