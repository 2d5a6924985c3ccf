"""How far models may differ by query from how they differ on average."""

from __future__ import annotations

import numpy as np
import pytest

from router.arrays import Floats
from router.estimation.trust import FACTORS, choose_factor, departing

World = tuple[Floats, Floats, Floats, Floats]


def world(n: int, models: int, signal: float, noise: float, seed: int = 0) -> World:
    """(true chances, outcomes, costs, estimates): chances vary by `signal`, estimates miss them by
    `noise`, and the dearer half of the models is the better one."""
    random = np.random.default_rng(seed)
    mean = np.linspace(0.4, 0.6, models)
    chance = np.clip(mean + signal * random.normal(size=(n, models)), 0, 1)
    scores = (random.uniform(size=(n, models)) < chance).astype(np.float64)
    cost = 10.0 ** np.linspace(1, 3, models) * random.uniform(0.8, 1.2, (n, models))
    return chance, scores, cost, chance + noise * random.normal(size=(n, models))


def chosen(made: World) -> float:
    chance, scores, cost, estimates = made
    return choose_factor(estimates, cost, chance.mean(axis=0), scores, cost)


def test_good_estimates_are_trusted() -> None:
    """Where they are right, a careful factor costs too much."""
    assert chosen(world(2000, 9, signal=0.3, noise=0.0)) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not(seed: int) -> None:
    """Where they say nothing that is so, the most careful factor is as good, or better."""
    assert chosen(world(2000, 40, signal=0.0, noise=0.2, seed=seed)) == FACTORS[0]


def test_what_nobody_knows_decides_nothing() -> None:
    """Rows with unknown outcomes are left out; without any other, estimates stay as they are."""
    chance, scores, cost, estimates = world(2000, 9, signal=0.3, noise=0.0)
    scores[:1000, 0] = np.nan
    estimates[:1000] = 0.5
    assert chosen((chance, scores, cost, estimates)) == 1.0
    scores[:, 1] = np.nan
    assert chosen((chance, scores, cost, estimates)) == 1.0


def test_models_that_cost_nothing() -> None:
    """Money then has no price."""
    chance, scores, cost, estimates = world(500, 3, signal=0.3, noise=0.0)
    assert chosen((chance, scores, 0 * cost, estimates)) in FACTORS


def test_departing() -> None:
    """Differences beyond those of the means are multiplied; how hard a query is stays."""
    quality = np.array([[0.2, 0.9], [0.4, 0.5], [0.1, 0.5]])
    assert departing(quality, np.array([0.3, 0.7]), 0.5).round(9).tolist() == [
        [0.275, 0.825],
        [0.325, 0.575],
        [0.1, 0.5],
    ]
    assert departing(quality, np.array([0.3, 0.7]), 1.0) == pytest.approx(quality)


def test_departing_stays_between_the_worst_and_the_best() -> None:
    """No score is 0 or less, so that where money is plenty every query is served."""
    found = departing(np.array([[1e-6, 0.5], [1.0, 1.0]]), np.array([0.1, 0.9]), 0.5)
    assert found.min() > 0
    assert found.max() == 1.0


def test_departing_does_not_depend_on_the_rows_beside() -> None:
    """To the last bit: a replay in other batches decides the same."""
    random = np.random.default_rng(1)
    quality, means = random.random((50, 17)), random.random(17)
    whole = departing(quality, means, 0.75)
    for row in range(50):
        assert departing(quality[row : row + 1], means, 0.75).tolist() == [whole[row].tolist()]
