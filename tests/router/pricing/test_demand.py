"""The forecast of demand: the history less what has come, or what comes instead of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from router.arrays import Floats
from router.models.catalog import Model, ModelCatalog
from router.pricing.demand import LEAST_RECENT, DemandForecast

SIZE = 400


def of_kind(kind: int, n: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Queries of one of three kinds, each with its own quality and cost for two models."""
    random = np.random.default_rng([seed, kind])
    quality = np.array([[0.2, 0.8], [0.9, 0.9], [0.5, 0.1]])[kind]
    cost = np.array([[10.0, 1e4], [1e3, 1e3], [1e5, 10.0]])[kind]
    return quality + random.normal(size=(n, 2)) * 0.01, cost * random.uniform(0.9, 1.1, (n, 2))


def parts(quality: Floats) -> Floats:
    """float64[3]: the parts of the three kinds in a sample."""
    kind = np.abs(quality[:, None, 0] - np.array([0.2, 0.9, 0.5])).argmin(axis=1)
    found: Floats = np.bincount(kind, minlength=3) / len(quality)
    return found


@pytest.fixture
def forecast() -> DemandForecast:
    """A history with half of its queries of kind 0, 30 % of kind 1 and 20 % of kind 2."""
    made = [of_kind(0, 500), of_kind(1, 300), of_kind(2, 200)]
    quality, cost = (np.concatenate(of) for of in zip(*made, strict=True))
    return DemandForecast(quality, cost, SIZE)


def see(forecast: DemandForecast, kinds: list[int]) -> None:
    """So many arrivals of each kind, evenly taken from queries like the history's."""
    for kind, n in enumerate(kinds):
        quality, cost = of_kind(kind, max(n, 500))
        rows = np.linspace(0, len(quality) - 1, n).astype(np.int64)
        forecast.observe(quality[rows], cost[rows])


def test_before_any_arrival_it_is_the_history(forecast: DemandForecast) -> None:
    """In its own proportions."""
    quality, cost = forecast.sample(1000.0)
    assert quality.shape == cost.shape == (SIZE, 2)
    assert_allclose(parts(quality), [0.5, 0.3, 0.2], atol=0.01)


def test_arrivals_in_random_order_change_nothing(forecast: DemandForecast) -> None:
    """What came is like what is to come."""
    forecast.sample(1000.0)
    see(forecast, [250, 150, 100])
    assert_allclose(parts(forecast.sample(500.0)[0]), [0.5, 0.3, 0.2], atol=0.03)


def test_what_has_come_will_not_come_again(forecast: DemandForecast) -> None:
    """After all of kind 0, the history's part of the sample has none of it left."""
    forecast.sample(1000.0)
    see(forecast, [500, 0, 0])
    found = parts(forecast.sample(500.0)[0])
    past = 1 - LEAST_RECENT
    assert_allclose(found, [LEAST_RECENT, 0.6 * past, 0.4 * past], atol=0.03)


def test_more_than_was_foreseen_is_a_change(forecast: DemandForecast) -> None:
    """Traffic of one kind only: the newest arrivals take the history's place."""
    forecast.sample(1000.0)
    see(forecast, [900, 0, 0])
    assert parts(forecast.sample(100.0)[0])[0] > 0.7


def test_an_even_part_of_the_arrivals_is_enough(forecast: DemandForecast) -> None:
    """A live controller sees samples: what counts is their kinds, and how many are expected yet."""
    forecast.sample(1000.0)
    see(forecast, [50, 0, 0])
    assert parts(forecast.sample(500.0)[0])[0] < LEAST_RECENT + 0.15


def test_a_new_window_begins_anew(forecast: DemandForecast) -> None:
    """When more are expected than before, all of it is to come again."""
    forecast.sample(1000.0)
    see(forecast, [500, 0, 0])
    forecast.sample(500.0)
    see(forecast, [0, 300, 200])
    found = parts(forecast.sample(1000.0)[0])
    assert_allclose(found[0], 0.5 * (1 - LEAST_RECENT), atol=0.03)


def test_other_models_keep_the_counts(forecast: DemandForecast) -> None:
    """A model more, of which nothing is known, does not make what has come come again."""
    forecast.sample(1000.0)
    see(forecast, [500, 0, 0])
    two = ModelCatalog([Model("a", 1, 1), Model("b", 1, 1)])
    forecast.set_catalog(two.extended([Model("c", 1, 1)]), two)
    found, _ = forecast.sample(500.0)
    assert found.shape == (SIZE, 3)
    assert parts(found)[0] < 0.05
    forecast.observe(np.full((3, 3), 0.5), np.full((3, 3), 10.0))
    assert np.isfinite(forecast.sample(400.0)[0]).any(axis=0).all()


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_small_and_equal_histories(rows: int) -> None:
    """Few rows, or rows that are all the same, are a forecast too; the same calls give the same."""
    one = DemandForecast(np.full((rows, 2), 0.5), np.full((rows, 2), 10.0), 10)
    other = DemandForecast(np.full((rows, 2), 0.5), np.full((rows, 2), 10.0), 10)
    for forecast in (one, other):
        forecast.sample(5.0)
        forecast.observe(*of_kind(1, 3))
        forecast.observe(np.empty((0, 2)), np.empty((0, 2)))
    assert_array_equal(one.sample(2.0)[0], other.sample(2.0)[0])
    assert one.sample(2.0)[0].shape == (10, 2)
