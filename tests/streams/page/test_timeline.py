"""Sums over time: exact, in a bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.page.timeline import MOST, WIDEST, Step, Timeline


@given(st.lists(st.integers(0, MOST * WIDEST // 2), min_size=1))
def test_nothing_is_lost_while_it_fits(moments: list[int]) -> None:
    """Steps get wider, and sums stay; there are never more than `MOST` of them."""
    line = Timeline()
    for moment in moments:
        line.at(moment).add("n")
    assert line.recent(0).sums["n"] == len(moments)
    assert len(list(line.rows())) <= MOST


def test_the_oldest_is_forgotten_at_the_widest() -> None:
    """Beyond ten hours."""
    line = Timeline()
    for moment in range(0, 2 * MOST * WIDEST, WIDEST):
        line.at(moment).add("n")
    assert (line.width, len(list(line.rows()))) == (WIDEST, MOST)
    line.at(0).add("n")  # what comes too late
    assert len(list(line.rows())) == MOST


def test_states_are_the_last_ones() -> None:
    """Of two steps that become one, the later wins."""
    line = Timeline()
    line.at(1).states["price"] = 1.0
    line.at(0).states["price"] = 2.0
    line.at(MOST).add("n")
    (first, *_) = line.rows()
    assert (first["t"], first["states"]) == (0, {"price": 1.0})


def test_percentiles() -> None:
    """Within a class of durations, and none without any."""
    step = Step()
    assert step.percentile("answer", 0.5) is None
    for seconds in [1.0] * 90 + [10.0] * 10:
        step.observe("answer", seconds)
    assert step.percentile("answer", 0.5) == 1.0
    assert 10.0 <= (step.percentile("answer", 0.95) or 0) < 11.0
