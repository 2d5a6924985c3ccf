"""Ridge regression on a kernel's features, against the textbook's formulas."""

from __future__ import annotations

import numpy as np
import pytest

from router.estimation.kernel_basis import PENALTIES, Basis, gaussian, squared

RANDOM = np.random.default_rng(3)
POINTS = RANDOM.normal(size=(30, 4)).astype(np.float32)
NORMS = np.einsum("nd,nd->n", POINTS, POINTS)
KERNEL = gaussian([squared(POINTS, POINTS, NORMS)], [0.3])
OUTCOMES = np.column_stack([np.sin(POINTS[:, 0]), POINTS[:, 1] * POINTS[:, 2]])
OUTCOMES -= OUTCOMES.mean(axis=0)


def test_squared_distances() -> None:
    """As the definition says, and never below 0."""
    expected = ((POINTS[:, None] - POINTS[None]) ** 2).sum(axis=-1)
    found = squared(POINTS, POINTS, NORMS)
    assert np.allclose(found, expected, atol=1e-4)
    assert found.min() >= 0


def test_a_kernel_of_two_blocks_is_the_product_of_theirs() -> None:
    """A block of width 0 has no say; a kernel of none is refused."""
    one, other = squared(POINTS, POINTS, NORMS), squared(POINTS[:, :2], POINTS[:, :2], NORMS)
    both = gaussian([one, other], [0.1, 0.2])
    assert np.allclose(both, gaussian([one], [0.1]) * gaussian([other], [0.2]), atol=1e-6)
    assert np.array_equal(gaussian([one, other], [0.1, 0.0]), gaussian([one], [0.1]))
    with pytest.raises(AssertionError, match="one block at least"):
        gaussian([one], [0.0])


def test_weights_of_landmarks_give_what_the_basis_fitted() -> None:
    """The kernel times these weights, and the constant, is the fit."""
    basis = Basis(KERNEL.copy(), KERNEL)
    solved = basis.solve(OUTCOMES)
    weights, constant = basis.weights(solved.inner)
    assert np.allclose(KERNEL @ weights + constant, solved.fitted, atol=1e-3)


def test_others_are_refits_without_the_row() -> None:
    """Leave-one-out by the hat matrix is a ridge with the intercept's share in the leverage."""
    solved = Basis(KERNEL.copy(), KERNEL).solve(OUTCOMES)
    centred = KERNEL.astype(float)
    centred = centred - centred.mean(axis=0) - centred.mean(axis=1)[:, None] + centred.mean()
    for column in range(OUTCOMES.shape[1]):
        hats = [
            centred @ np.linalg.inv(centred + penalty * np.eye(30)) + 1 / 30
            for penalty in PENALTIES
        ]
        left_out = [
            OUTCOMES[:, column]
            - (OUTCOMES[:, column] - hat @ OUTCOMES[:, column])
            / (1 - np.minimum(np.diag(hat), 0.999))
            for hat in hats
        ]
        errors = [((OUTCOMES[:, column] - guess) ** 2).mean() for guess in left_out]
        best = left_out[int(np.argmin(errors))]
        assert np.allclose(solved.others[:, column], best, atol=0.02)
