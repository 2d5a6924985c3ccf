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


def left(horizon: Horizon, moment: float, arrived: int, *names: str) -> list[float]:
    found: list[float] = horizon.expected(moment, arrived, names).tolist()
    return found


def test_without_windows_the_rest_of_all_queries_is_expected() -> None:
    """Each arrival leaves one fewer, whatever the time; at least one is always expected."""
    horizon = Horizon(100, {"a": NONE, "b": NONE})
    for arrived, expected in ((0, 100.0), (30, 70.0), (99, 1.0), (100, 1.0), (500, 1.0)):
        assert left(horizon, MIDNIGHT, arrived, "a", "b") == [expected, expected]


def test_in_a_window_queries_come_evenly() -> None:
    """Before any are counted, so many are left as there is time."""
    horizon = Horizon(1000, {"a": EACH_DAY})
    for part in (0.0, 0.25, 0.5):
        assert left(horizon, MIDNIGHT + part * DAY, 77, "a") == pytest.approx([1000 * (1 - part)])
    assert left(horizon, MIDNIGHT + DAY - 0.001, 0, "a") == [1.0]
    assert left(horizon, MIDNIGHT + DAY, 0, "a") == [1000.0]


def test_each_limit_has_its_own_horizon() -> None:
    """The number given is for the longest window; shorter ones get their part of the day."""
    horizon = Horizon(2400, {"day": EACH_DAY, "hour": EACH_HOUR, "minute": Windowing("minute")})
    found = left(horizon, MIDNIGHT + 1800, 0, "day", "hour", "minute", "hour\tshop")
    assert found == pytest.approx([2400 - 50, 50.0, 2400 / 24 / 60, 50.0])
    assert horizon.whole(["day", "hour", "minute"]).tolist() == pytest.approx(
        [2400, 100, 2400 / 24 / 60]
    )


def test_counts_correct_the_number_given() -> None:
    """Half way through a day twice as busy as was said, twice as many are expected."""
    horizon = Horizon(DAY, {"a": EACH_DAY})
    for second in range(0, 43_201, 60):
        horizon.forecast.observe(MIDNIGHT + second, 0, 2 * second)
    assert left(horizon, MIDNIGHT + DAY / 2, 0, "a") == pytest.approx([DAY], rel=0.1)


def test_without_a_number_the_forecast_tells() -> None:
    """Before anything came it is what is usual; later what is counted."""
    horizon = Horizon(None, {"day": EACH_DAY}, usual=86_400)
    assert left(horizon, MIDNIGHT, 0, "day") == pytest.approx([86_400])
    for second in range(0, 7200, 10):
        horizon.forecast.observe(MIDNIGHT + second, 0, 3 * second)
    assert left(horizon, MIDNIGHT + 7200, 0, "day") == pytest.approx([3 * (DAY - 7200)], rel=0.05)


@given(st.lists(kinds, min_size=1, max_size=4), moments, st.integers(0, 10**6), st.floats(1, 1e6))
def test_no_limit_is_for_more_queries_than_are_expected(
    windows: list[Window], moment: float, arrived: int, queries: float
) -> None:
    """At least one arrival is expected, at most all."""
    limits = {str(i): Windowing(kind) for i, kind in enumerate(windows)}
    found = Horizon(queries, limits).expected(moment, arrived, limits)
    assert found.shape == (len(windows),)
    assert found.min() >= 1.0
    assert found.max() <= queries * 31 / 30 + 1e-6  # of a month of 30 days


@given(kinds.filter(lambda kind: kind != "none"), moments, st.floats(0, 3600))
def test_within_a_window_ever_fewer_are_expected(kind: Window, moment: float, wait: float) -> None:
    """Until it ends; the next one begins anew."""
    horizon = Horizon(1e6, {"a": Windowing(kind)})
    window = window_of(moment, kind)
    assume(window.end is not None and moment + wait < window.end)
    assert left(horizon, moment + wait, 0, "a") <= left(horizon, moment, 0, "a")
    assert left(horizon, float(window.end or 0), 0, "a") == pytest.approx([1e6], rel=0.07)
