"""One kernel's features of a history, and ridge regression on them in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from router.arrays import Floats, Vectors

PENALTIES = tuple(10.0 ** (step / 2) for step in range(6, -6, -1))
"""Candidates for the ridge's penalty. The first of equals wins: the more cautious one."""
JITTER = 1e-4
"""Directions of the landmarks with less variance than this are noise in float32."""


class Solved(NamedTuple):
    """inner: float64[r, M] weights of the basis; fitted, others: float64[n, M], what the fit says
    of each row of the history, and what the fit without that row says of it."""

    inner: Floats
    fitted: Floats
    others: Floats


class Basis:
    """Kernel features of a history, whitened so that their ridge is the kernel's, and turned to
    their own principal directions so that every penalty costs one product (Nyström)."""

    def __init__(self, near: Vectors, among: Vectors) -> None:
        """near: float32[n, L], the kernel of each row and each landmark; among: float32[L, L]."""
        variance, turn = np.linalg.eigh(among.astype(np.float64))
        kept = variance > JITTER * variance[-1]
        whiten = turn[:, kept] / np.sqrt(variance[kept])
        features = near @ whiten.astype(np.float32)
        mean = features.mean(axis=0, dtype=np.float64)
        features -= mean.astype(np.float32)
        variance, turn = np.linalg.eigh((features.T @ features).astype(np.float64))
        self._variance = np.maximum(variance, 0.0)
        self._rows = features @ turn.astype(np.float32)
        self._turn = whiten @ turn
        self._mean = mean @ turn

    def solve(self, outcomes: Floats) -> Solved:
        """Each column of float64[n, M], of mean 0, with the penalty of least leave-one-out error;
        the hat matrix gives it without refits."""
        n, columns = outcomes.shape
        moment = (self._rows.T @ outcomes.astype(np.float32)).astype(np.float64)
        least = np.full(columns, np.inf)
        inner, fitted, others = (np.zeros_like(of) for of in (moment, outcomes, outcomes))
        squares = self._rows**2
        for penalty in PENALTIES:
            shrunk = 1.0 / (self._variance + penalty)
            leverage = np.minimum(squares @ shrunk.astype(np.float32) + 1.0 / n, 0.999)
            weights = moment * shrunk[:, None]
            guess = self._rows @ weights.astype(np.float32)
            missed = (outcomes - guess) / (1.0 - leverage)[:, None]
            error = (missed**2).mean(axis=0)
            better = error < least
            least[better] = error[better]
            inner[:, better] = weights[:, better]
            fitted[:, better] = guess[:, better]
            others[:, better] = (outcomes - missed)[:, better]
        return Solved(inner, fitted, others)

    def weights(self, inner: Floats) -> tuple[Floats, Floats]:
        """float64[L, M] weights of the kernels themselves, and float64[M] to be added."""
        return self._turn @ inner, -(self._mean @ inner)


def squared(points: Vectors, landmarks: Vectors, norms: Vectors) -> Vectors:
    """float32[n, L] of |x − x_l|². norms: float32[L], the landmarks' |x_l|²."""
    apart: Vectors = points @ landmarks.T
    apart *= np.float32(-2.0)
    apart += norms
    apart += np.einsum("nd,nd->n", points, points)[:, None]
    return np.maximum(apart, 0.0, out=apart)


def gaussian(apart: Sequence[Vectors], widths: Sequence[float]) -> Vectors:
    """float32[n, L] of exp(−Σ_b t_b·|x − x_l|²_b), from the squared distances in each block b."""
    near: Vectors | None = None
    for block, width in zip(apart, widths, strict=True):
        if width:
            part = block * np.float32(-width)
            near = part if near is None else np.add(near, part, out=near)
    assert near is not None, "a kernel looks at one block at least"
    return np.exp(near, out=near)
