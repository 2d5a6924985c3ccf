"""Which pools are busy: from 85 % of their capacity, and until less than 70 %."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.models.busy_pools import BusyPools
from router.models.catalog import Model
from router.models.pools import QUIET_BELOW, SPILL_AT, Pool

CAPACITY = 100
POOLS = (Pool("short", 10, 1, 1, CAPACITY), Pool("mid", 20, 1, 1), Pool("long", 30, 1, 1, 10))
MODELS = [Model("m", 1, 1, pools=POOLS), Model("plain", 1, 1)]
SHORT = "m.short"


def judged(pools: BusyPools, *in_flight: int) -> list[str]:
    """The busy pools after each of two partitions has told how many are under way in short."""
    for partition, count in enumerate(in_flight):
        pools.observe(partition, {SHORT: count})
    pools.judge(2)
    return sorted(pools.busy)


def test_all_partitions_together_make_a_pool_busy() -> None:
    """It is so until clearly fewer are under way, so that it does not change with each query."""
    pools = BusyPools(MODELS)
    assert judged(pools, 42, 42) == []
    assert judged(pools, 42, 43) == [SHORT]
    assert judged(pools, 30, 40) == [SHORT]
    assert judged(pools, 30, 39) == []
    assert judged(pools, 42, 42) == []


def test_a_pool_without_a_capacity_is_never_busy() -> None:
    """Nor is one that nobody knows."""
    pools = BusyPools(MODELS)
    pools.observe(0, {"m.mid": 10**6, "m.gone": 10**6, "plain": 10**6, "m.long": 9})
    pools.judge(1)
    assert pools.busy == {"m.long"}


def test_a_change_is_told_by_whoever_judges() -> None:
    """And no longer when the next judgement is the same."""
    pools = BusyPools(MODELS)
    pools.observe(0, {SHORT: CAPACITY})
    assert [pools.judge(2), pools.judge(2)] == [True, False]


def test_news_are_told_once() -> None:
    """That a pool is busy, and that it is no longer."""
    pools = BusyPools(MODELS)
    assert not pools.take_news()
    judged(pools, 85, 0)
    assert [pools.take_news(), pools.take_news()] == [True, False]
    judged(pools, 0, 0)
    assert [pools.take_news(), pools.take_news()] == [True, False]


def test_the_next_controller_goes_on_from_what_was_told() -> None:
    """A pool is quiet again when all partitions have been heard of, not before."""
    pools = BusyPools(MODELS, [SHORT])
    assert judged(pools) == [SHORT]
    assert judged(pools, 10) == [SHORT]
    assert not pools.take_news()
    assert judged(pools, 10, 10) == []
    assert pools.take_news()


def test_a_pool_that_is_gone_is_busy_no_longer() -> None:
    """That is news to whoever was told that it is."""
    pools = BusyPools(MODELS, ["m.gone", "m.mid", SHORT])
    assert pools.busy == {SHORT}
    assert pools.take_news()


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80)), max_size=20))
def test_between_the_bounds_nothing_changes(counts: list[tuple[int, int]]) -> None:
    """A pool is busy from one bound on, quiet below the other, and else what it was."""
    pools, busy = BusyPools(MODELS), False
    for first, second in counts:
        load = (first + second) / CAPACITY
        busy = load >= SPILL_AT or (busy and load >= QUIET_BELOW)
        assert judged(pools, first, second) == ([SHORT] if busy else [])
