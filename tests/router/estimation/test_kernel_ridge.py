"""Kernel ridge in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_limits

from router.arrays import Floats, Vectors
from router.estimation.kernel_ridge import Fit, KernelRidge

WIDTHS = ((0.3,), (1.0,), (3.0,))


def problem(n: int = 300, noise: float = 0.05, seed: int = 0) -> tuple[Vectors, Floats]:
    """Points on a few dimensions, and three smooth outcomes of them."""
    random = np.random.default_rng(seed)
    points = random.uniform(-1, 1, (n, 4)).astype(np.float32)
    smooth = np.column_stack(
        [np.sin(2 * points[:, 0]), points[:, 1] * points[:, 2], points[:, 3] + points[:, 0] ** 2]
    )
    return points, smooth + noise * random.normal(size=smooth.shape)


def fitted(points: Vectors, *kinds: Floats) -> Fit:
    """All coordinates in one block."""
    return KernelRidge.fit([points], WIDTHS, *kinds)


def test_learns_a_smooth_function() -> None:
    """On new points it explains nearly all that there is to explain."""
    points, outcomes = problem()
    fresh, truth = problem(noise=0.0, seed=1)
    guess = fitted(points, outcomes).ridge([fresh])
    assert ((guess - truth) ** 2).mean() < 0.02 * truth.var()


def test_leave_one_out_is_what_a_new_point_gets() -> None:
    """Its error on the history is that on points never seen, not the smaller one of a fit."""
    points, outcomes = problem(150, noise=0.5)
    fresh, truth = problem(4000, noise=0.5, seed=1)
    fit = fitted(points, outcomes)
    others = ((fit.others - outcomes) ** 2).mean()
    assert_allclose(others, ((fit.ridge([fresh]) - truth) ** 2).mean(), rtol=0.15)
    assert others > ((fit.ridge([points]) - outcomes) ** 2).mean()


def test_a_row_does_not_see_its_own_outcome() -> None:
    """Changing one outcome wildly hardly moves the same row's leave-one-out prediction, though it
    moves the fit there."""
    points, outcomes = problem(100)
    before = fitted(points, outcomes)
    outcomes[7, 0] += 3.0
    after = fitted(points, outcomes)
    own = abs(after.others[7, 0] - before.others[7, 0])
    assert own < 0.5 * abs((after.ridge([points]) - before.ridge([points]))[7, 0])


def test_noise_is_not_learned() -> None:
    """Where nothing is to be learned, every new point gets about the mean."""
    random = np.random.default_rng(0)
    points = random.normal(size=(400, 8)).astype(np.float32)
    fresh = random.normal(size=(400, 8)).astype(np.float32)
    outcomes = (random.uniform(size=(400, 3)) < 0.6).astype(np.float64)
    guess = fitted(points, outcomes).ridge([fresh])
    assert guess.std(axis=0).max() < 0.15 * outcomes.std()


def test_fills_what_nobody_has_seen() -> None:
    """With a third of the outcomes unknown it still learns; a model nobody has seen gets the
    level of the others."""
    points, outcomes = problem(600)
    random = np.random.default_rng(2)
    outcomes[random.uniform(size=outcomes.shape) < 0.33] = np.nan
    unseen = np.concatenate([outcomes, np.full((600, 1), np.nan)], axis=1)
    fresh, truth = problem(noise=0.0, seed=1)
    guess = fitted(points, unseen).ridge([fresh])
    assert np.isfinite(guess).all()
    assert ((guess[:, :3] - truth) ** 2).mean() < 0.1 * truth.var()
    assert abs(guess[:, 3].mean() - np.nanmean(outcomes)) < 0.1


def test_kernels_that_look_at_other_blocks_add_up() -> None:
    """Two outcomes that hang on one block each are learned better by two kernels than by one on
    both; a kernel on a block of noise does no harm."""
    random = np.random.default_rng(3)
    left, right, noise = random.uniform(-1, 1, (3, 1000, 3)).astype(np.float32)
    truth = np.sin(3 * left[:, :1]) + right[:, :1] ** 2
    outcomes = truth + 0.3 * random.normal(size=truth.shape)
    past, new = slice(0, 500), slice(500, 1000)

    def missed(*widths: tuple[float, float, float]) -> float:
        fit = KernelRidge.fit(
            [block[past] for block in (left, right, noise)], widths, outcomes[past]
        )
        guess = fit.ridge([block[new] for block in (left, right, noise)])
        return float(((guess - truth[new]) ** 2).mean())

    apart = missed((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    assert apart < missed((1.0, 1.0, 0.0))
    assert missed((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)) < 1.2 * apart


def test_kinds_stand_side_by_side() -> None:
    """Several kinds of outcome come back in the order given."""
    points, outcomes = problem()
    fit = fitted(points, outcomes[:, :1], 100 * outcomes[:, 1:])
    assert fit.others.shape == (300, 3)
    assert_allclose(fit.ridge([points])[:, 0], outcomes[:, 0], atol=0.3)
    assert_allclose(fit.ridge([points])[:, 1:], 100 * outcomes[:, 1:], atol=30)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_small_histories(n: int) -> None:
    """Two rows are enough to answer something finite; equal rows do no harm."""
    points, outcomes = problem(n)
    for some in (points, np.zeros_like(points)):
        fit = fitted(some, outcomes)
        assert np.isfinite(fit.others).all()
        assert np.isfinite(fit.ridge([problem(5, seed=3)[0]])).all()


def test_arrays_bring_it_back() -> None:
    """What is saved predicts the same."""
    points, outcomes = problem()
    ridge = fitted(points, outcomes).ridge
    again = KernelRidge.from_arrays(ridge.arrays())
    assert_array_equal(again([points]), ridge([points]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("rows", "dimension", "models"), [(240, 4, 2), (700, 60, 3), (90, 300, 7)])
def test_a_point_does_not_depend_on_those_beside_it(
    rows: int, dimension: int, models: int, threads: int
) -> None:
    """To the last bit, whatever the batch, its place in it, and the threads of BLAS: a replay
    decides in other batches and in another process (I6)."""
    random = np.random.default_rng(rows)
    points = random.normal(size=(rows, dimension)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    ridge = fitted(points, random.uniform(size=(rows, models))).ridge
    with threadpool_limits(1):
        together = ridge([points])
    with threadpool_limits(threads):
        for first, last in ((0, 1), (3, 4), (5, 70), (60, 61), (rows - 1, rows), (50, 50)):
            assert_array_equal(ridge([points[first:last]]), together[first:last])
