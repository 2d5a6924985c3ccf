"""Sums that are exact in floating point, so that no order of addition changes a bit of them.

BLAS adds in another order for another shape, another place in a block, another number of threads
and another processor. Decisions must not depend on any of these (invariant I6). If all factors are
multiples of a power of two, and no sum exceeds what the float's digits can count in such steps,
every order gives the same result.
"""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Vectors

LONGEST = 2.0
"""Rows are made no longer than this."""
STEP = np.float32(2.0**-11)
"""Of coordinates. Σ|x_i·y_i| ≤ |x|·|y| ≤ 4, which is 2²⁴ steps squared: float32 counts that far."""
NEAR_STEP = 2.0**-22
"""Of factors in 0..1. With weights of at most 2²⁰ steps, 2¹¹ terms sum to 2⁵³ steps at most."""
WEIGHT_STEPS = 2.0**20


def rounded(points: Vectors) -> Vectors:
    """Round points to a grid on which the inner product of any two is exact in float32.

    Args:
        points: float32[n, d].

    Returns:
        float32[n, d], multiples of `STEP`, each row at most `LONGEST` long.
    """
    norm = np.sqrt(np.einsum("nd,nd->n", points, points))[:, None]
    found: Vectors = np.rint(points / STEP)
    # Half a step a coordinate could make a row grow beyond `LONGEST`: towards 0 those that might.
    near = norm > LONGEST - 0.5 * float(STEP) * np.sqrt(points.shape[1])
    if near.any():
        shorter = points * (np.float32(LONGEST) / np.maximum(norm, np.float32(LONGEST)))
        found = np.where(near, np.trunc(shorter / STEP), found)
    found *= STEP
    return found


def rounded_weights(weights: Floats) -> Floats:
    """Round weights to a grid on which `weighted` is exact.

    Args:
        weights: float64[L, M], L ≤ 2,048.

    Returns:
        float64[L, M], multiples of one power of two.
    """
    largest = float(np.abs(weights).max(initial=0.0))
    step = 2.0 ** np.ceil(np.log2(largest / WEIGHT_STEPS)) if largest else 1.0
    found: Floats = np.rint(weights / step) * step
    return found


def weighted(near: Vectors, weights: Floats) -> Floats:
    """Compute `near @ weights` exactly, with `near` rounded to multiples of `NEAR_STEP`.

    Args:
        near: float32[n, L] in 0..1, L ≤ 2,048.
        weights: float64[L, M], made by `rounded_weights`.

    Returns:
        float64[n, M].
    """
    factors = near.astype(np.float64)
    factors *= 1.0 / NEAR_STEP
    np.rint(factors, out=factors)
    found: Floats = factors @ weights
    found *= NEAR_STEP
    return found
