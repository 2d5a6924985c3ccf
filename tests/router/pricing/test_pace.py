"""When prices are due, and how much of a window has come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.pricing.pace import Pace


def test_due_after_so_many_arrivals() -> None:
    """At first; then every `every` arrivals, however they are counted; and when outdated."""
    pace = Pace(every=100, parts=16)
    pace.expect(4000.0)
    found = [pace.due]
    pace.solved()
    for _ in range(4):
        pace.count(30)
        found.append(pace.due)
    pace.solved()
    found.append(pace.due)
    pace.outdate()
    assert [*found, pace.due] == [True, False, False, False, True, False, True]


@pytest.mark.parametrize(("every", "expected", "part"), [(100, 160.0, 10), (250, 159.0, 9)])
def test_a_short_window_has_its_parts(every: int, expected: float, part: int) -> None:
    """Where few are expected, prices are solved more often. A part is of whole queries: batches of
    a sixteenth, rounded down, are each long enough for a solution."""
    pace = Pace(every, parts=16)
    pace.expect(expected)
    pace.solved()
    pace.count(part)
    assert pace.due


@pytest.mark.parametrize("expected", [1.0, 3.0, 20.0])
def test_not_without_an_arrival(expected: float) -> None:
    """However few are expected, prices are solved once, and after the next arrival again."""
    pace = Pace(every=250, parts=16)
    pace.expect(expected)
    pace.solved()
    found = [pace.due]
    pace.count(1)
    assert [*found, pace.due] == [False, True]


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_what_came(expected: int, arrived: int, seen: int) -> None:
    """What was expected and is no longer, or what was seen if that is more; anew in each window."""
    pace = Pace(every=100, parts=16)
    pace.expect(float(expected))
    pace.count(seen)
    left = max(expected - arrived, 0)
    pace.expect(float(left))
    assert pace.came == max(expected - left, seen, 1)
    pace.expect(2.0 * left + 1)
    assert pace.came == 1.0
