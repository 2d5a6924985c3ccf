"""What is taken to come: the history's mix, less what has come, or what comes instead of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from router.arrays import Floats
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
def mix() -> DemandForecast:
    """A history with half of its queries of kind 0, 30 % of kind 1 and 20 % of kind 2."""
    made = [of_kind(0, 500), of_kind(1, 300), of_kind(2, 200)]
    quality, cost = (np.concatenate(of) for of in zip(*made, strict=True))
    return DemandForecast(quality, cost, SIZE)


def see(mix: DemandForecast, kinds: list[int]) -> None:
    """So many arrivals of each kind, evenly taken from queries like the history's."""
    for kind, n in enumerate(kinds):
        quality, cost = of_kind(kind, max(n, 500))
        rows = np.linspace(0, len(quality) - 1, n).astype(np.int64)
        mix.see(quality[rows], cost[rows])


def test_before_any_arrival_it_is_the_history(mix: DemandForecast) -> None:
    """In its own mix."""
    quality, cost = mix.coming(1000.0)
    assert quality.shape == cost.shape == (SIZE, 2)
    assert_allclose(parts(quality), [0.5, 0.3, 0.2], atol=0.01)


def test_arrivals_in_random_order_change_nothing(mix: DemandForecast) -> None:
    """What came is like what is to come."""
    mix.coming(1000.0)
    see(mix, [250, 150, 100])
    assert_allclose(parts(mix.coming(500.0)[0]), [0.5, 0.3, 0.2], atol=0.03)


def test_what_has_come_will_not_come_again(mix: DemandForecast) -> None:
    """After all of kind 0, the history's part of the sample has none of it left."""
    mix.coming(1000.0)
    see(mix, [500, 0, 0])
    found = parts(mix.coming(500.0)[0])
    past = 1 - LEAST_RECENT
    assert_allclose(found, [LEAST_RECENT, 0.6 * past, 0.4 * past], atol=0.03)


def test_more_than_was_foreseen_is_a_change(mix: DemandForecast) -> None:
    """Traffic of one kind only: the newest arrivals take the history's place."""
    mix.coming(1000.0)
    see(mix, [900, 0, 0])
    assert parts(mix.coming(100.0)[0])[0] > 0.7


def test_an_even_part_of_the_arrivals_is_enough(mix: DemandForecast) -> None:
    """A live controller sees samples: what counts is their mix, and how many are expected yet."""
    mix.coming(1000.0)
    see(mix, [50, 0, 0])
    assert parts(mix.coming(500.0)[0])[0] < LEAST_RECENT + 0.15


def test_a_new_window_begins_anew(mix: DemandForecast) -> None:
    """When more are expected than before, all of the mix is to come again."""
    mix.coming(1000.0)
    see(mix, [500, 0, 0])
    mix.coming(500.0)
    see(mix, [0, 300, 200])
    found = parts(mix.coming(1000.0)[0])
    assert_allclose(found[0], 0.5 * (1 - LEAST_RECENT), atol=0.03)


def test_other_models_keep_the_counts(mix: DemandForecast) -> None:
    """A model more, of which nothing is known, does not make what has come come again."""
    mix.coming(1000.0)
    see(mix, [500, 0, 0])
    quality, cost = mix.history
    new = np.full((len(quality), 1), -np.inf)
    mix.with_columns(np.hstack([quality, new]), np.hstack([cost, np.zeros_like(new)]))
    found, _ = mix.coming(500.0)
    assert found.shape == (SIZE, 3)
    assert parts(found)[0] < 0.05
    mix.see(np.full((3, 3), 0.5), np.full((3, 3), 10.0))
    assert np.isfinite(mix.coming(400.0)[0]).any(axis=0).all()


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_small_and_equal_histories(rows: int) -> None:
    """Few rows, or rows that are all the same, are a mix too; the same calls give the same."""
    one = DemandForecast(np.full((rows, 2), 0.5), np.full((rows, 2), 10.0), 10)
    other = DemandForecast(np.full((rows, 2), 0.5), np.full((rows, 2), 10.0), 10)
    for mix in (one, other):
        mix.coming(5.0)
        mix.see(*of_kind(1, 3))
        mix.see(np.empty((0, 2)), np.empty((0, 2)))
    assert_array_equal(one.coming(2.0)[0], other.coming(2.0)[0])
    assert one.coming(2.0)[0].shape == (10, 2)
