"""What a partition gathers for its next report: the newest, each thing once, and no more."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.share import Game
from streams.state.reporting import SAMPLE_SIZE, ArrivalSample, HeldBack, Newest, UnmetDemand


@given(st.lists(st.integers(0, 2 * SAMPLE_SIZE), max_size=8))
def test_a_sample_is_the_newest_estimates(sizes: list[int]) -> None:
    """However they came, the last SAMPLE_SIZE, in order, and fewer only where fewer came."""
    sample, count = ArrivalSample(), 0
    for size in sizes:
        numbers = np.arange(count, count + size, dtype=np.float64)
        tables = [np.column_stack([numbers, -numbers]), np.column_stack([numbers, numbers])]
        sample.add(tables, [f"{i}" for i in range(count, count + size)])
        count += size
    (quality, cost), tenants, _ = sample.take()
    newest = list(range(max(count - SAMPLE_SIZE, 0), count))
    assert quality.reshape(-1, 2).tolist() == [[i, -i] for i in newest]
    assert cost.reshape(-1, 2).tolist() == [[i, i] for i in newest]
    assert tenants == [f"{i}" for i in newest]


@given(st.lists(st.integers(1, SAMPLE_SIZE), min_size=1, max_size=50))
def test_a_sample_does_not_grow(sizes: list[int]) -> None:
    """A partition that nobody asks keeps no more than twice what it would tell."""
    sample = ArrivalSample()
    for size in sizes:
        sample.add([np.ones((size, 1))] * 2, [None] * size)
        assert sum(len(chunk[0]) for chunk in sample._chunks) < 2 * SAMPLE_SIZE
    (quality, _), tenants, _ = sample.take()
    assert len(quality) == len(tenants) == min(sum(sizes), SAMPLE_SIZE)


def test_what_was_taken_is_not_told_again() -> None:
    """The next sample begins anew."""
    sample = ArrivalSample()
    sample.add([np.ones((3, 2))] * 3, [None, "shop", None])
    tables, tenants, _ = sample.take()
    assert [len(table) for table in tables] == [3, 3, 3]
    assert tenants == [None, "shop", None]
    assert [len(table) for table in sample.take()[0]] == [0, 0]
    sample.add([np.zeros((1, 2))] * 2, ["bank"])
    (quality, _), tenants, _ = sample.take()
    assert (quality.tolist(), tenants) == ([[0, 0]], ["bank"])


def test_unmet_wishes_are_told_until_a_pass_has_looked() -> None:
    """Their sum once, and the smallest that waits, by model, as long as it does."""
    unmet = UnmetDemand(2)
    assert not unmet.any()
    for amount in (30, 10, 20):
        unmet.add(1, amount)
    assert unmet.any()
    wanted, smallest = unmet.take()
    assert (wanted.tolist(), smallest.tolist()) == ([0, 60], [0, 10])
    unmet.add(0, 5)
    wanted, smallest = unmet.take()
    assert (wanted.tolist(), smallest.tolist()) == ([5, 1], [5, 10])
    assert not unmet.any()
    unmet.begin_pass()
    wanted, smallest = unmet.take()
    assert (wanted.tolist(), smallest.tolist()) == ([1, 1], [5, 10])
    unmet.add(1, 20)
    unmet.end_pass()
    assert [unmet.take()[1].tolist() for _ in range(2)] == [[0, 20], [0, 20]]
    unmet.begin_pass()
    unmet.end_pass()
    wanted, smallest = unmet.take()
    assert (wanted.tolist(), smallest.tolist()) == ([0, 0], [0, 0])


def test_queries_are_held_back_until_a_window_ends() -> None:
    """Only by accounts that have windows, and by the oldest of these; a pass forgets them."""
    held = HeldBack()
    held.add(0, 0)
    assert not held.has_ended(np.array([960, 960]))
    held.add(1, 960)
    assert not held.has_ended(np.array([1020, 960]))
    held.add(1, 1020)
    assert held.has_ended(np.array([0, 1020]))
    held.clear()
    assert not held.has_ended(np.array([1020, 1080]))


def test_games_are_the_newest_and_told_once() -> None:
    """No more are kept than a report tells."""
    games = Newest[Game]()
    for i in range(SAMPLE_SIZE + 5):
        games.add(Game(model=f"m{i}", results={}))
    taken = games.take()
    assert [game.model for game in taken] == [f"m{i}" for i in range(5, SAMPLE_SIZE + 5)]
    assert games.take() == []
