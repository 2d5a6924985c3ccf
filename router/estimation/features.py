"""Text features fitted to a history: word directions (LSA), and measures of shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from router.arrays import Floats, Ints, Vectors, even_rows
from router.estimation.sparse import SparseRows
from router.estimation.words import BUCKETS, count_words

RANK = 256
"""Directions in the space of words that are kept (fewer where the history is smaller)."""
RARE = 3
"""Words in fewer texts than this say nothing about others."""
MOST_WORDS = 100_000
"""Of more words than this, those in the fewest texts are left out: it bounds the memory."""
FIT_TEXTS = 6000
"""Texts, evenly spread over the history, on which the directions are found."""
SHAPE_WEIGHT = 0.1
"""The weight of a standard deviation of one measure of shape, where a text's words weigh 1."""
OUTLIER = 5.0
"""Standard deviations beyond which a measure of shape is taken to be no further away."""


class TextVectors(NamedTuple):
    """Features of n texts.

    Attributes:
        words: float32[n, r], coordinates in word space.
        shape: float32[n, F], standardised lengths and counts of signs.
    """

    words: Vectors
    shape: Vectors


class TextFeatures:
    """Latent semantic analysis of a history's texts (Deerwester et al. 1990).

    Word counts are damped and weighted by rarity (tf-idf) and projected on the directions of
    largest variance (truncated SVD); beside them stand standard scores of lengths, digits and
    signs.
    """

    def __init__(
        self, buckets: Ints, idf: Floats, directions: Vectors, mean: Floats, scale: Floats
    ) -> None:
        """Put fitted features together.

        Args:
            buckets: int64[W], the words kept, by hash bucket.
            idf: float64[W], their inverse document frequencies.
            directions: float32[W, r].
            mean: float64[F], means of the measures of shape.
            scale: float64[F], their standard deviations.
        """
        self._buckets = buckets
        self._idf = idf
        self._directions = np.ascontiguousarray(directions)  # else every product copies it
        self._mean = mean
        self._scale = scale
        self._place = np.full(BUCKETS, -1, dtype=np.int32)
        self._place[buckets] = np.arange(len(buckets), dtype=np.int32)

    @classmethod
    def fit(cls, texts: Sequence[str], seed: int = 0) -> tuple[Self, TextVectors]:
        """Fit features to a history of at least one text.

        Returns:
            The features, and those of the history's own texts.
        """
        words, shape = count_words(texts)
        frequency = np.bincount(words.indices, minlength=BUCKETS)
        buckets = np.flatnonzero(frequency >= RARE)
        if len(buckets) > MOST_WORDS:
            buckets = np.sort(np.argsort(-frequency, kind="stable")[:MOST_WORDS])
        idf = np.log((1 + len(texts)) / (1 + frequency[buckets])) + 1.0
        scale = shape.std(axis=0)
        features = cls(
            buckets,
            idf,
            np.zeros((len(buckets), 0), dtype=np.float32),
            shape.mean(axis=0),
            np.where(scale > 1e-9, scale, 1.0),
        )
        weighted = features._weigh(words)
        rows = weighted.array()[even_rows(len(texts), FIT_TEXTS)]
        directions = _directions(rows, RANK, seed)
        features._directions = np.ascontiguousarray(directions, dtype=np.float32)
        return features, features._join(weighted, shape)

    def __call__(self, texts: Sequence[str]) -> TextVectors:
        """Return the features of n texts."""
        words, shape = count_words(texts)
        return self._join(self._weigh(words), shape)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all fitted arrays by name, to be saved."""
        return {
            "words": self._buckets,
            "idf": self._idf,
            "directions": self._directions,
            "shape_mean": self._mean,
            "shape_scale": self._scale,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the features that `arrays()` came from.

        Raises:
            KeyError: An array is missing.
        """
        names = ("words", "idf", "directions", "shape_mean", "shape_scale")
        return cls(*(arrays[name] for name in names))

    def _weigh(self, words: csr_array) -> SparseRows:
        """Return tf-idf [n, W] with rows of unit norm, from counts [n, BUCKETS]."""
        place = self._place[words.indices]
        kept = place >= 0
        row = np.repeat(np.arange(words.shape[0]), np.diff(words.indptr))[kept]
        place = place[kept]
        weight = (1.0 + np.log(words.data[kept])) * self._idf[place]
        norm = np.sqrt(np.bincount(row, weight**2, minlength=words.shape[0]))
        weight = (weight / norm[row]).astype(np.float32)
        edges = np.zeros(words.shape[0] + 1, dtype=np.int32)
        np.cumsum(np.bincount(row, minlength=words.shape[0]), out=edges[1:])
        return SparseRows(weight, place, edges, len(self._buckets))

    def _join(self, weighted: SparseRows, shape: Floats) -> TextVectors:
        standard = np.clip((shape - self._mean) / self._scale, -OUTLIER, OUTLIER)
        words = weighted.times(self._directions)
        return TextVectors(words, (SHAPE_WEIGHT * standard).astype(np.float32))


def _directions(rows: csr_array, rank: int, seed: int) -> Floats:
    """Return float64[W, r], the first right singular vectors, r ≤ rank.

    By randomised subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4).
    """
    rank = min(rank, *rows.shape)
    if rank == 0:
        return np.zeros((rows.shape[1], 0))
    width = min(rank + 10, *rows.shape)
    draws = np.random.default_rng(seed)
    basis = rows @ draws.standard_normal((rows.shape[1], width), dtype=np.float32)
    for _ in range(2):
        basis = rows @ (rows.T @ np.linalg.qr(basis)[0])
    small = np.asarray(rows.T @ np.linalg.qr(basis)[0], dtype=np.float64)
    # Its left singular vectors, through the small Gram matrix.
    squares, turn = np.linalg.eigh(small.T @ small)
    best = np.argsort(-squares)[:rank]
    best = best[squares[best] > 1e-9 * max(float(squares[-1]), 1e-12)]
    directions: Floats = small @ turn[:, best] / np.sqrt(squares[best])
    return directions
