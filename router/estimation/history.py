"""Outcomes that are already known: the ground on which estimates stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.arrays import Floats, Vectors


@dataclass(frozen=True, slots=True)
class History:
    """H queries with what is known of every model's answer to them.

    ids: H query ids; embeddings: float32[H, dim], unit norm; scores: float64[H, M] in 0..1;
    costs: float64[H, M] in nano-units. A NaN is an outcome nobody has seen.
    """

    ids: Sequence[str]
    embeddings: Vectors
    scores: Floats
    costs: Floats

    def __len__(self) -> int:
        return len(self.ids)
