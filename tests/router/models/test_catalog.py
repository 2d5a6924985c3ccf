"""The models of a run, and what their answers cost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from router.models.catalog import MILLION, Model, ModelCatalog
from router.models.pools import NONE, Pool

CHEAP, DEAR = Model("cheap", 100, 200, max_output_tokens=50), Model("dear", 3_000, 15_000)
CATALOG = ModelCatalog([CHEAP, DEAR])


def test_a_name_given_twice_is_refused() -> None:
    """The message names it."""
    with pytest.raises(ValueError, match="cheap"):
        ModelCatalog([CHEAP, DEAR, CHEAP])


def test_costs_are_rounded_up() -> None:
    """To whole nano-units, for one answer and for arrays alike."""
    assert CHEAP.cost(1, 1) == 1
    assert DEAR.cost(MILLION, 2) == 3_001
    prompt, output = np.array([[1], [MILLION]]), np.array([[1, 1], [2, 2]])
    assert_array_equal(CATALOG.cost(prompt, output), [[1, 1], [101, 3_001]])


def test_output_tokens_never_cost_more_than_the_amount() -> None:
    """At least 0, at most what the model may write."""
    amount, prompt = np.array([[0, 0], [10**9, 100]]), np.array([[1], [0]])
    tokens = CATALOG.output_tokens_for(amount, prompt)
    assert_array_equal(tokens, [[0, 0], [50, 4096]])


def test_masks_name_models() -> None:
    """And refuse names that are not there."""
    assert_array_equal(CATALOG.mask(["dear"]), [False, True])
    with pytest.raises(KeyError):
        CATALOG.mask(["other"])


def test_values_are_aligned_by_name() -> None:
    """Whatever the order; a model that was not there has the value for missing ones."""
    after = ModelCatalog([DEAR, Model("new", 1, 1), CHEAP])
    assert_array_equal(after.align(np.array([1.0, 2.0]), CATALOG, 9.0), [2, 9, 1])
    table = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert_array_equal(after.align(table, CATALOG, -np.inf), [[2, -np.inf, 1], [4, -np.inf, 3]])
    assert after.align(np.empty((0, 2)), CATALOG, 0.0).shape == (0, 3)


def test_an_extended_catalog_begins_with_its_own_models() -> None:
    """So arrays of the old one are the first columns of the new one's."""
    longer = CATALOG.extended([Model("new", 1, 1)])
    assert longer.names == ("cheap", "dear", "new")
    assert len(longer) == 3


SHORT, LONG = Pool("short", 100, 1_000, 5_000), Pool("long", 1_000, 3_000, 15_000)
POOLED = ModelCatalog(
    [CHEAP, Model("dear", 3_000, 15_000, cached_input_price=2_000, pools=(SHORT, LONG))]
)


def test_a_request_goes_to_the_shortest_pool_that_holds_it() -> None:
    """A model without pools has none."""
    tokens = np.array([[100, 100], [101, 101], [1_001, 1_001]])
    assert_array_equal(POOLED.pools(tokens), [[NONE, 0], [NONE, 1], [NONE, NONE]])


def test_a_request_spills_from_a_busy_pool() -> None:
    """By the pool's name; other models' pools of that name do not count."""
    tokens = np.array([[100, 100], [101, 101]])
    assert_array_equal(POOLED.pools(tokens, {"dear.short"}), [[NONE, 1], [NONE, 1]])
    assert_array_equal(POOLED.pools(tokens, {"cheap.short", "dear.long"}), [[NONE, 0], [NONE, 1]])


def test_a_pool_has_its_own_prices() -> None:
    """In arrays and for one answer; elsewhere the model's count."""
    prompt, output = np.full((3, 1), MILLION), np.full((3, 2), MILLION)
    pools = np.array([[NONE, 0], [NONE, 1], [NONE, NONE]])
    costs = POOLED.cost(prompt, output, pools)
    assert_array_equal(costs, [[300, 6_000], [300, 18_000], [300, 18_000]])
    assert_array_equal(POOLED.cost(prompt, output), [[300, 18_000]] * 3)
    short = POOLED.models[1].in_pool("short")
    assert short.cost(MILLION, MILLION) == 6_000
    assert (short.context, short.cached_input_price) == (100, 1_000)
    assert POOLED.models[1].in_pool("other") is POOLED.models[1]
