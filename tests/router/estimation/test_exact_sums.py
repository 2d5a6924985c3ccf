"""Sums that are the same in any order, close to what they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.arrays import Vectors
from router.estimation.exact_sums import LONGEST, STEP, rounded, rounded_weights, weighted


def some_points(n: int, dimension: int, length: float, seed: int) -> Vectors:
    points = np.random.default_rng(seed).normal(size=(n, dimension))
    points *= length / np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32)


@given(st.integers(1, 40), st.integers(1, 600), st.floats(0.01, 5.0), st.integers(0, 2**32 - 1))
@example(1, 600, 1.9999, 0)
@settings(max_examples=300)
def test_products_are_exact(n: int, dimension: int, length: float, seed: int) -> None:
    """In float32 as in integers, whatever the shape, the place and the order of the terms."""
    points = rounded(some_points(n, dimension, length, seed))
    whole = np.rint(points / STEP).astype(np.int64)
    expected = (whole @ whole.T).astype(np.float64) * float(STEP) ** 2
    order = np.random.default_rng(seed).permutation(dimension)
    assert (points @ points.T == expected).all()
    assert (points[:, order] @ points[:, order].T == expected).all()
    assert all((points[i : i + 1] @ points.T == expected[i]).all() for i in range(n))
    assert (np.einsum("nd,nd->n", points, points) == expected.diagonal()).all()


@given(st.integers(1, 600), st.floats(0.01, 1.99), st.integers(0, 2**32 - 1))
def test_points_hardly_move(dimension: int, length: float, seed: int) -> None:
    """By half a step a coordinate, a whole one near the limit; only rows that are too long are made
    shorter."""
    points = some_points(5, dimension, length, seed)
    near = length > LONGEST - float(STEP) * np.sqrt(dimension)
    assert np.abs(rounded(points) - points).max() <= STEP * (1.0 if near else 0.5)
    long = rounded(some_points(5, dimension, 7.0, seed))
    assert (np.linalg.norm(long.astype(np.float64), axis=1) <= LONGEST).all()


@given(st.integers(1, 2048), st.integers(1, 30), st.floats(1e-9, 1e9), st.integers(0, 2**32 - 1))
def test_weighted_sums_are_exact(terms: int, columns: int, size: float, seed: int) -> None:
    """Every order of the terms gives the same bits, near what plain arithmetic gives."""
    random = np.random.default_rng(seed)
    near = random.uniform(size=(7, terms)).astype(np.float32)
    plain = random.normal(size=(terms, columns)) * size
    weights = rounded_weights(plain)
    found, order = weighted(near, weights), random.permutation(terms)
    assert (found == weighted(near[:, order], weights[order])).all()
    assert all((found[i] == weighted(near[i : i + 1], weights)).all() for i in range(7))
    assert np.abs(found - near @ plain).max() <= 1e-5 * np.abs(plain).max() * np.sqrt(terms)


@pytest.mark.parametrize("nothing", [np.zeros((3, 2)), np.zeros((0, 2))])
def test_no_weights(nothing: np.ndarray) -> None:
    """Weights of nothing give nothing."""
    assert (
        weighted(np.ones((4, len(nothing)), dtype=np.float32), rounded_weights(nothing)) == 0
    ).all()
