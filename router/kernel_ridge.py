"""Kernel ridge regression in closed form, for many outcomes of the same queries at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from router.arrays import Floats, Vectors

LANDMARKS = 1024
"""Points of the history that others are compared with (Nyström)."""
WIDTHS = (0.3, 1.0, 3.0)
"""Candidates for t in the kernel exp(−t·|x − y|²)."""
PENALTIES = tuple(10.0 ** (step / 2) for step in range(6, -6, -1))
"""Candidates for the ridge's penalty. The first of equals wins: the more cautious one."""
FILLINGS = 8
"""Rounds in which outcomes nobody has seen are filled with what the fit says of them."""
BLOCK = 128
"""Points of one product."""
JITTER = 1e-4
"""Directions of the landmarks with less variance than this are noise in float32."""


class Fit(NamedTuple):
    """ridge: what predicts; others: float64[n, M], the prediction for each row of the history by
    all rows but itself."""

    ridge: KernelRidge
    others: Floats


class KernelRidge:
    """f(x) = Σ_l exp(−t·|x − x_l|²)·β_l + b, with β in closed form.

    Width t and penalties are chosen by leave-one-out, which the hat matrix gives without refits.
    The outcomes are turned to their principal directions first, each with a penalty of its own:
    what all models have in common (how hard a query is) is learned well from little data, what
    tells one from another is not, and needs a stronger hand.
    """

    def __init__(self, landmarks: Vectors, weights: Vectors, offset: Floats, width: float) -> None:
        """landmarks: float32[L, d]; weights: float32[L, M]; offset: float64[M]."""
        self._landmarks = landmarks
        self._weights = weights
        self._offset = offset
        self._width = width
        self._norms = np.einsum("ld,ld->l", landmarks, landmarks)

    @classmethod
    def fit(cls, points: Vectors, *kinds: Floats) -> Fit:
        """points: float32[n, d], n ≥ 2; each kind of outcome: float64[n, m], NaN where nobody
        knows. The kinds stand side by side in what comes back, and share a width."""
        n = len(points)
        rows = np.unique(np.linspace(0, n - 1, min(LANDMARKS, n)).astype(np.int64))
        landmarks = points[rows]
        known = [np.isfinite(outcomes) for outcomes in kinds]
        filled = [_fill(outcomes, there) for outcomes, there in zip(kinds, known, strict=True)]
        least, best = np.inf, None
        for width in WIDTHS:
            basis = _Basis(points, landmarks, width)
            solved = [basis.solve(*kind) for kind in zip(filled, known, strict=True)]
            for i, outcomes in enumerate(kinds):
                for _ in range(0 if known[i].all() else FILLINGS):
                    filled[i] = np.where(known[i], outcomes, solved[i].fitted)
                    solved[i] = basis.solve(filled[i], known[i])
            error = sum(kind.error for kind in solved)
            if best is None or error < least:
                inner = np.hstack([kind.inner for kind in solved])
                mean = np.concatenate([kind.mean for kind in solved])
                weights = basis.weights(inner).astype(np.float32)
                ridge = cls(landmarks, weights, mean - basis.mean @ inner, width)
                least, best = error, Fit(ridge, np.hstack([kind.others for kind in solved]))
        assert best is not None, "there is at least one width"
        return best

    def __call__(self, points: Vectors) -> Floats:
        """float64[n, M] for float32[n, d] points.

        To the last bit, a point's figures do not depend on the points beside it, so that a replay
        in other batches decides the same: products of one shape only, as BLAS adds up in another
        order for another.
        """
        n, dimension = points.shape
        blocks = np.zeros((-(-n // BLOCK), BLOCK, dimension), dtype=np.float32)
        blocks.reshape(-1, dimension)[:n] = points
        found = np.empty((len(blocks), BLOCK, len(self._offset)))
        for block, into in zip(blocks, found, strict=True):
            near = _kernel(block, self._landmarks, self._norms, self._width)
            np.add(near @ self._weights, self._offset, out=into)
        return found.reshape(-1, len(self._offset))[:n]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was fitted."""
        return {
            "landmarks": self._landmarks,
            "weights": self._weights,
            "offset": self._offset,
            "width": np.array(self._width),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The fit that `arrays()` came from. Raises KeyError for one that is not there."""
        return cls(arrays["landmarks"], arrays["weights"], arrays["offset"], float(arrays["width"]))


class _Solved(NamedTuple):
    inner: Floats  # float64[r, M] weights of the basis
    mean: Floats  # float64[M]
    fitted: Floats  # float64[n, M]
    others: Floats  # float64[n, M], leave-one-out
    error: float  # part of the variance of what is known that leave-one-out does not explain


class _Basis:
    """Kernel features of a history, whitened so that their ridge is the kernel's, and turned to
    their own principal directions so that every penalty costs one product."""

    def __init__(self, points: Vectors, landmarks: Vectors, width: float) -> None:
        norms = np.einsum("ld,ld->l", landmarks, landmarks)
        among = _kernel(landmarks, landmarks, norms, width).astype(np.float64)
        variance, turn = np.linalg.eigh(among)
        kept = variance > JITTER * variance[-1]
        whiten = turn[:, kept] / np.sqrt(variance[kept])
        features = _kernel(points, landmarks, norms, width) @ whiten.astype(np.float32)
        mean = features.mean(axis=0, dtype=np.float64)
        features -= mean.astype(np.float32)
        variance, turn = np.linalg.eigh((features.T @ features).astype(np.float64))
        self._variance = np.maximum(variance, 0.0)
        self._rows = features @ turn.astype(np.float32)
        self._turn = whiten @ turn
        self.mean = mean @ turn

    def solve(self, outcomes: Floats, known: NDArray[np.bool_]) -> _Solved:
        """The best penalty for each principal direction of float64[n, M] complete outcomes."""
        n, models = outcomes.shape
        mean = outcomes.mean(axis=0)
        centred = outcomes - mean
        turn = np.linalg.eigh(centred.T @ centred)[1]
        turned = centred @ turn
        moment = (self._rows.T @ turned.astype(np.float32)).astype(np.float64)
        least = np.full(models, np.inf)
        inner = np.zeros_like(moment)
        left_out = np.zeros_like(turned)
        fitted = np.zeros_like(turned)
        squares = self._rows**2
        for penalty in PENALTIES:
            shrunk = 1.0 / (self._variance + penalty)
            leverage = np.minimum(squares @ shrunk + 1.0 / n, 0.999)
            weights = moment * shrunk[:, None]
            guess = self._rows @ weights.astype(np.float32)
            missed = (turned - guess) / (1.0 - leverage)[:, None]
            error = (missed**2).mean(axis=0)
            better = error < least
            least[better] = error[better]
            inner[:, better] = weights[:, better]
            fitted[:, better] = guess[:, better]
            left_out[:, better] = (turned - missed)[:, better]
        others = left_out @ turn.T + mean
        wrong, spread = (others - outcomes)[known], centred[known]
        error_part = float((wrong**2).sum()) / max(float((spread**2).sum()), 1e-12)
        return _Solved(inner @ turn.T, mean, fitted @ turn.T + mean, others, error_part)

    def weights(self, inner: Floats) -> Floats:
        """float64[L, M] weights of the kernels themselves."""
        outer: Floats = self._turn @ inner
        return outer


def _kernel(points: Vectors, landmarks: Vectors, norms: Vectors, width: float) -> Vectors:
    """float32[n, L] of exp(−t·|x − x_l|²)."""
    near: Vectors = points @ landmarks.T
    near *= np.float32(2.0)
    near -= norms
    near -= np.einsum("nd,nd->n", points, points)[:, None]
    np.minimum(near, 0.0, out=near)
    near *= np.float32(width)
    np.exp(near, out=near)
    return near


def _fill(outcomes: Floats, known: NDArray[np.bool_]) -> Floats:
    """float64[n, M] without gaps: the model's mean, moved by how the row's others fare."""
    value = np.where(known, outcomes, 0.0)
    count = known.sum(axis=0)
    mean = value.sum(axis=0) / np.maximum(count, 1)
    mean[count == 0] = mean[count > 0].mean() if count.any() else 0.0
    off = np.where(known, outcomes - mean, 0.0)
    row = off.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known, outcomes, mean + row[:, None])
