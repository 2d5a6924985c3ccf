"""Recorded outcomes, on which estimates are based."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.arrays import Floats, Vectors


@dataclass(frozen=True, slots=True)
class History:
    """H queries with the outcomes of the models that answered them.

    Attributes:
        ids: H query ids.
        embeddings: float32[H, dim], unit norm.
        scores: float64[H, M] in 0..1, NaN where no outcome is known.
        costs: float64[H, M] nano-units, NaN where no outcome is known.
    """

    ids: Sequence[str]
    embeddings: Vectors
    scores: Floats
    costs: Floats

    def __len__(self) -> int:
        return len(self.ids)
