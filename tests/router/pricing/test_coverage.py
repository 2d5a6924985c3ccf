"""Which limits a query draws on: the arrays' way and the long way agree."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from router.arrays import Floats, Ints
from router.pricing.coverage import UNBOUNDED, Coverage


@st.composite
def coverages(draw: st.DrawFn) -> tuple[Coverage, list[Ints], np.random.Generator]:
    """Limits, the amounts of some queries in two units, and a source of draws."""
    n, models, limits = draw(st.integers(1, 8)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    coverage = Coverage(
        tuple(map(str, range(limits))),
        random.integers(0, 2, limits),
        random.uniform(size=(limits, models)) < 0.6,
        (random.uniform(size=(limits, n)) < 0.6) if draw(st.booleans()) else None,
    )
    return coverage, [random.integers(0, 100, (n, models)) for _ in range(2)], random


def long_way(coverage: Coverage, amounts: list[Ints]) -> Ints:
    """int64[R, n, M]: what each pair draws on each limit."""
    found = np.zeros((len(coverage), *amounts[0].shape), dtype=np.int64)
    for limit in range(len(coverage)):
        for query, model in np.ndindex(*amounts[0].shape):
            if coverage.models[limit, model] and (
                coverage.queries is None or coverage.queries[limit, query]
            ):
                found[limit, query, model] = amounts[coverage.unit[limit]][query, model]
    return found


@given(coverages())
def test_prices_add_up(made: tuple[Coverage, list[Ints], np.random.Generator]) -> None:
    """Each limit that covers a pair adds its price for what the pair draws."""
    coverage, amounts, random = made
    prices: Floats = random.integers(0, 5, len(coverage)).astype(np.float64)
    expected = np.einsum("r,rnm->nm", prices, long_way(coverage, amounts))
    tables = [table.astype(np.float64) for table in amounts]
    assert_array_equal(coverage.priced(prices, tables), expected)


@given(coverages())
def test_room_is_that_of_the_tightest_limit(
    made: tuple[Coverage, list[Ints], np.random.Generator],
) -> None:
    """A pair has room where every limit that covers it holds what it draws."""
    coverage, amounts, random = made
    left = random.integers(0, 100, len(coverage))  # a pair that draws nothing fits anywhere
    drawn = long_way(coverage, amounts)
    expected = ((drawn <= left[:, None, None]) | (drawn == 0)).all(axis=0)
    assert_array_equal(coverage.fits(left, amounts), expected)


@given(coverages())
def test_drawn_by_pairs(made: tuple[Coverage, list[Ints], np.random.Generator]) -> None:
    """Some pairs draw what the whole table says of them."""
    coverage, amounts, random = made
    query = random.integers(0, len(amounts[0]), 6)
    model = random.integers(0, amounts[0].shape[1], 6)
    assert_array_equal(
        coverage.drawn(query, model, amounts), long_way(coverage, amounts)[:, query, model]
    )


@given(coverages())
def test_a_part_is_covered_as_the_whole_is(
    made: tuple[Coverage, list[Ints], np.random.Generator],
) -> None:
    """Prices of some rows do not depend on the others."""
    coverage, amounts, random = made
    prices: Floats = random.uniform(size=len(coverage))
    tables = [table.astype(np.float64) for table in amounts]
    rows = random.integers(0, len(amounts[0]), 3)
    assert_array_equal(
        coverage.take(rows).priced(prices, [table[rows] for table in tables]),
        coverage.priced(prices, tables)[rows],
    )


def test_named_kinds() -> None:
    """A budget a model, and one for all."""
    left = np.array([5, 7])
    assert_array_equal(Coverage.per_model("ab").room(left, 0, 3), [[5, 7]])
    assert_array_equal(Coverage.shared(2).room(left[:1], 0, 3), [[5, 5]])
    assert_array_equal(Coverage.shared(2).room(left[:1], 1, 3), [[UNBOUNDED, UNBOUNDED]])
    assert Coverage.shared(2).shared_by_models
    assert not Coverage.per_model("ab").shared_by_models
