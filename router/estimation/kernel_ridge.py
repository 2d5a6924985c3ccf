"""A sum of kernel ridge regressions in closed form, for many outcomes of the same queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from router.arrays import Bools, Floats, Vectors, even_rows
from router.estimation.exact_sums import rounded, rounded_weights, weighted
from router.estimation.kernel_basis import Basis, gaussian, squared

LANDMARKS = 1024
"""Points of the history that others are compared with (Nyström)."""
FILLINGS = 8
"""Rounds in which outcomes nobody has seen are filled with what the fit says of them."""
BLOCK = 128
"""Points of one product: what caches like."""
PRIOR = 20.0
"""As many rows of history say that every kernel deserves the same weight."""


class Fit(NamedTuple):
    """A fitted regression.

    Attributes:
        ridge: What predicts.
        others: float64[n, M], the prediction of each row of the history by all other rows.
    """

    ridge: KernelRidge
    others: Floats


class KernelRidge:
    """A weighted sum of kernel ridge regressions.

    f(x) = Σ_k Σ_l exp(−Σ_b t_kb·|x − x_l|²_b)·β_kl + b, with β in closed form.

    A point has several blocks of coordinates b, and each kernel k its own widths t_k for them.
    Every kernel's ridge is fitted alone, with the penalty of least leave-one-out error; then all
    are added with the weights ≥ 0 that minimise the leave-one-out error (stacked regressions,
    Breiman 1996).

    Outcomes are rotated to their principal directions first, each with penalties and weights of its
    own: what all models have in common (how hard a query is) is learned well from little data; what
    distinguishes them is not, and needs stronger regularisation.
    """

    def __init__(
        self, landmarks: Sequence[Vectors], widths: Floats, weights: Floats, offset: Floats
    ) -> None:
        """Put a fit together from its parts.

        Args:
            landmarks: float32[L, d_b] for each block, as `exact_sums.rounded` gives them.
            widths: float64[K, B].
            weights: float64[K, L, M], as `exact_sums.rounded_weights` gives them.
            offset: float64[M].
        """
        # Column by column: a product of few points with their transpose is several times faster.
        self._landmarks = [np.asfortranarray(block) for block in landmarks]
        self._widths = widths
        self._weights = weights
        self._offset = offset
        self._norms = [_norms(block) for block in landmarks]

    @classmethod
    def fit(
        cls, blocks: Sequence[Vectors], widths: Sequence[Sequence[float]], *kinds: Floats
    ) -> Fit:
        """Fit outcomes on a history.

        Args:
            blocks: float32[n, d_b] for each block of coordinates, n ≥ 2, rows of length 2 at most.
            widths: Of each kernel, one width for each block; 0 ignores the block.
            *kinds: Kinds of outcomes, float64[n, m] each, NaN where unknown. In the result they
                stand side by side.
        """
        n = len(blocks[0])
        blocks = [rounded(block) for block in blocks]
        rows = even_rows(n, LANDMARKS)
        landmarks = [block[rows] for block in blocks]
        norms = [_norms(block) for block in landmarks]
        apart = [squared(*of) for of in zip(blocks, landmarks, norms, strict=True)]
        among = [squared(*of) for of in zip(landmarks, landmarks, norms, strict=True)]
        targets: list[_Target] = []
        for kernel in widths:
            basis = Basis(gaussian(apart, kernel), gaussian(among, kernel))
            targets = targets or [_Target(outcomes, basis) for outcomes in kinds]
            for target in targets:
                target.learn(basis)
        stacked = [target.stack() for target in targets]
        weights = [one.weights for one in stacked]
        ridge = cls(
            landmarks,
            np.array(widths, dtype=np.float64),
            np.stack([rounded_weights(np.hstack(of)) for of in zip(*weights, strict=True)]),
            np.concatenate([one.offset for one in stacked]),
        )
        return Fit(ridge, np.hstack([one.others for one in stacked]))

    def __call__(self, blocks: Sequence[Vectors]) -> Floats:
        """Predict outcomes.

        To the last bit, a point's prediction depends neither on the points beside it nor on
        threads, so a replay in other batches decides the same: all sums are exact
        (`exact_sums.py`).

        Args:
            blocks: float32[n, d_b] for each block.

        Returns:
            float64[n, M].
        """
        n = len(blocks[0])
        found = np.empty((n, len(self._offset)))
        for start in range(0, n, BLOCK):
            part = slice(start, start + BLOCK)
            apart = [
                squared(rounded(block[part]), *of)
                for block, *of in zip(blocks, self._landmarks, self._norms, strict=True)
            ]
            found[part] = self._offset
            for widths, weights in zip(self._widths, self._weights, strict=True):
                found[part] += weighted(gaussian(apart, widths), weights)
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all fitted arrays by name, to be saved."""
        arrays: dict[str, NDArray[Any]] = {
            f"landmarks_{i}": block for i, block in enumerate(self._landmarks)
        }
        return arrays | {"widths": self._widths, "weights": self._weights, "offset": self._offset}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the fit that `arrays()` came from.

        Raises:
            KeyError: An array is missing.
        """
        widths = arrays["widths"]
        landmarks = [arrays[f"landmarks_{i}"] for i in range(widths.shape[1])]
        return cls(landmarks, widths, arrays["weights"], arrays["offset"])


class _Stacked(NamedTuple):
    weights: Floats  # float64[K, L, M]
    offset: Floats  # float64[M]
    others: Floats  # float64[n, M], leave-one-out


class _Target:
    """One kind of outcome, rotated to its principal directions, and each kernel's fit of it."""

    def __init__(self, outcomes: Floats, basis: Basis) -> None:
        """Fill unknown outcomes by the first kernel's fit.

        Args:
            outcomes: float64[n, m], NaN where unknown.
            basis: Of the first kernel.
        """
        known = np.isfinite(outcomes)
        filled = _fill(outcomes, known)
        self._turn_to(filled)
        for _ in range(0 if known.all() else FILLINGS):
            fitted = basis.solve(self._turned).fitted @ self._turn.T + self._mean
            self._turn_to(np.where(known, outcomes, fitted))
        # A row that was mostly filled says little of which kernel is right.
        self._row_weight = known.mean(axis=1)
        self._weights: list[Floats] = []
        self._offsets: list[Floats] = []
        self._others: list[Floats] = []

    def _turn_to(self, outcomes: Floats) -> None:
        self._mean = outcomes.mean(axis=0)
        centred = outcomes - self._mean
        self._turn = np.linalg.eigh(centred.T @ centred)[1]
        self._turned = centred @ self._turn

    def learn(self, basis: Basis) -> None:
        """Fit one more kernel."""
        solved = basis.solve(self._turned)
        weights, offset = basis.weights(solved.inner)
        self._weights.append(weights)
        self._offsets.append(offset)
        self._others.append(solved.others)

    def stack(self) -> _Stacked:
        """Return the weighted sum of all kernels learned."""
        part = _stacking(np.stack(self._others), self._turned, self._row_weight)
        others = np.einsum("km,knm->nm", part, np.stack(self._others))
        weights = np.stack(self._weights) * part[:, None, :]
        offset = (part * np.stack(self._offsets)).sum(axis=0)
        return _Stacked(
            weights @ self._turn.T,
            offset @ self._turn.T + self._mean,
            others @ self._turn.T + self._mean,
        )


def _stacking(others: Floats, truth: Floats, row_weight: Floats) -> Floats:
    """Return float64[K, M] weights ≥ 0 of K predictions that minimise the squared error by column.

    Args:
        others: float64[K, n, M], leave-one-out predictions.
        truth: float64[n, M].
        row_weight: float64[n], how much a row counts.
    """
    kernels, _, columns = others.shape
    part = np.zeros((kernels, columns))
    total = max(float(row_weight.sum()), 1e-12)
    for column in range(columns):
        guess = others[:, :, column]
        products = (guess * row_weight) @ guess.T / total
        aims = (guess * row_weight) @ truth[:, column] / total
        prior = max(float(np.trace(products)) / kernels, 1e-12) * PRIOR / (PRIOR + total)
        products[np.diag_indices(kernels)] += prior
        root = np.linalg.cholesky(products)
        part[:, column] = nnls(root.T, np.linalg.solve(root, aims + prior / kernels))[0]
    return part


def _norms(block: Vectors) -> Vectors:
    norms: Vectors = np.einsum("ld,ld->l", block, block)
    return norms


def _fill(outcomes: Floats, known: Bools) -> Floats:
    """Return float64[n, M] without gaps: the model's mean, shifted by how the row's others fare."""
    value = np.where(known, outcomes, 0.0)
    count = known.sum(axis=0)
    mean = value.sum(axis=0) / np.maximum(count, 1)
    mean[count == 0] = mean[count > 0].mean() if count.any() else 0.0
    off = np.where(known, outcomes - mean, 0.0)
    row = off.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known, outcomes, mean + row[:, None])
