"""What must hold of the horizon: prices are for the queries that share the money that is left."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from router.budget.horizon import Horizon
from router.budget.windows import Windowing, window_of
from schemas.fields import Window

DAY = 86_400.0
MIDNIGHT = 20_000 * DAY
NONE = Windowing()
EACH_DAY, EACH_HOUR = Windowing("day"), Windowing("hour")
KINDS: tuple[Window, ...] = ("none", "hour", "day", "month")

kinds = st.sampled_from(KINDS)
moments = st.floats(1e9, 2e9)


def test_without_windows_the_rest_of_all_queries_is_expected() -> None:
    """Each arrival leaves one fewer, whatever the time; at least one is always expected."""
    horizon = Horizon(100, {"a": NONE, "b": NONE})
    for arrived, expected in ((0, 100.0), (30, 70.0), (99, 1.0), (100, 1.0), (500, 1.0)):
        most, factor = horizon.expected(MIDNIGHT, arrived)
        assert (most, factor.tolist()) == (expected, [1.0, 1.0])


def test_in_a_window_queries_come_evenly() -> None:
    """So many are left as there is time; how many came does not matter."""
    horizon = Horizon(1000, {"a": EACH_DAY})
    for part in (0.0, 0.25, 0.5):
        most, factor = horizon.expected(MIDNIGHT + part * DAY, 77)
        assert most == pytest.approx(1000 * (1 - part))
        assert factor.tolist() == [1.0]
    assert horizon.expected(MIDNIGHT + DAY - 0.001, 0)[0] == 1.0
    assert horizon.expected(MIDNIGHT + DAY, 0)[0] == 1000.0


def test_a_window_that_ends_earlier_is_stretched_to_the_last() -> None:
    """A program has one number of arrivals: a budget for a quarter of them counts four times."""
    horizon = Horizon(1000, {"day": EACH_DAY, "hour": EACH_HOUR})
    most, factor = horizon.expected(MIDNIGHT + 0.75 * 3600, 0)
    assert most == pytest.approx(1000 * (1 - 0.75 / 24))
    assert factor.tolist() == pytest.approx([1.0, (1 - 0.75 / 24) / 0.25])


def test_the_order_is_that_of_the_budgets() -> None:
    """The factors belong to the accounts as they were named."""
    one = Horizon(1000, {"day": EACH_DAY, "hour": EACH_HOUR}).expected(MIDNIGHT + 1800, 0)[1]
    other = Horizon(1000, {"hour": EACH_HOUR, "day": EACH_DAY}).expected(MIDNIGHT + 1800, 0)[1]
    assert one.tolist() == other.tolist()[::-1]
    assert one[0] < one[1]


@given(st.lists(kinds, min_size=1, max_size=4), moments, st.integers(0, 10**6), st.floats(1, 1e6))
def test_no_budget_is_for_more_queries_than_are_planned_for(
    windows: list[Window], moment: float, arrived: int, queries: float
) -> None:
    """At least one arrival is expected, at most all; every factor is 1 or more, and one is 1."""
    horizon = Horizon(queries, {str(i): Windowing(kind) for i, kind in enumerate(windows)})
    most, factor = horizon.expected(moment, arrived)
    assert 1.0 <= most <= queries
    assert factor.shape == (len(windows),)
    assert factor.min() == 1.0


@given(kinds.filter(lambda kind: kind != "none"), moments, st.floats(0, 3600))
def test_within_a_window_ever_fewer_are_expected(kind: Window, moment: float, wait: float) -> None:
    """Until it ends; the next one begins anew."""
    horizon = Horizon(1e6, {"a": Windowing(kind)})
    window = window_of(moment, kind)
    assume(window.end is not None and moment + wait < window.end)
    assert horizon.expected(moment + wait, 0)[0] <= horizon.expected(moment, 0)[0]
    assert horizon.expected(float(window.end or 0), 0)[0] == 1e6
