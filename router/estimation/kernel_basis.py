"""Features of one kernel on a history (Nyström), and ridge regression on them in closed form."""

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
    """A ridge regression of M outcomes on n rows.

    Attributes:
        inner: float64[r, M], weights of the basis.
        fitted: float64[n, M], the fit's prediction of each row.
        others: float64[n, M], the prediction of each row by the fit without it (leave-one-out).
    """

    inner: Floats
    fitted: Floats
    others: Floats


class Basis:
    """Kernel features of a history, whitened so that ridge regression on them is the kernel's.

    They are rotated to their principal directions, so that each penalty costs one product (Nyström
    approximation: Williams and Seeger 2001).
    """

    def __init__(self, near: Vectors, among: Vectors) -> None:
        """Decompose the kernel.

        Args:
            near: float32[n, L], the kernel of each row with each landmark.
            among: float32[L, L], the kernel of the landmarks.
        """
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
        """Fit each outcome with the penalty of least leave-one-out error.

        The hat matrix gives leave-one-out errors without refits: missed = residual / (1 −
        leverage).

        Args:
            outcomes: float64[n, M], each column of mean 0.
        """
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
        """Convert weights of the basis to weights of the kernel's landmarks.

        Args:
            inner: float64[r, M].

        Returns:
            float64[L, M] weights of the landmarks, and float64[M] to be added.
        """
        return self._turn @ inner, -(self._mean @ inner)


def squared(points: Vectors, landmarks: Vectors, norms: Vectors) -> Vectors:
    """Return float32[n, L], squared distances |x − x_l|² between points and landmarks.

    Args:
        points: float32[n, d].
        landmarks: float32[L, d].
        norms: float32[L], the landmarks' |x_l|².
    """
    apart: Vectors = points @ landmarks.T
    apart *= np.float32(-2.0)
    apart += norms
    apart += np.einsum("nd,nd->n", points, points)[:, None]
    return np.maximum(apart, 0.0, out=apart)


def gaussian(apart: Sequence[Vectors], widths: Sequence[float]) -> Vectors:
    """Return float32[n, L], the kernel exp(−Σ_b t_b·|x − x_l|²_b).

    Args:
        apart: Squared distances, float32[n, L] for each block of coordinates b.
        widths: t_b for each block; a block of width 0 is ignored. At least one is not.
    """
    near: Vectors | None = None
    for block, width in zip(apart, widths, strict=True):
        if width:
            part = block * np.float32(-width)
            near = part if near is None else np.add(near, part, out=near)
    assert near is not None, "a kernel looks at one block at least"
    return np.exp(near, out=near)
