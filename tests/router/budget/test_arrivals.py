"""What must hold of the forecast of arrivals: it tells the rate, and learns the hours of a day."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.budget.arrivals import DAY, HOUR, ArrivalForecast

MIDNIGHT = 20_000 * 86_400.0


def fed(hours: int, hourly: list[int], begin: float = MIDNIGHT) -> ArrivalForecast:
    """A forecast after so many hours, each with as many arrivals as its hour of the day has."""
    forecast, total = ArrivalForecast(1.0), 0
    forecast.observe(begin, 0, 0)
    for hour in range(hours):
        for part in range(1, 61):
            came = hourly[(int(begin // HOUR) + hour) % DAY] // 60
            total += came
            forecast.observe(begin + hour * HOUR + part * 60 - 1, 0, total)
    return forecast


def test_before_anything_came_the_assumed_rate_holds() -> None:
    """One look tells nothing yet: counts are since the start of the deployment."""
    forecast = ArrivalForecast(0.5)
    assert forecast.between(MIDNIGHT, MIDNIGHT + 100, MIDNIGHT) == 50
    forecast.observe(MIDNIGHT, 0, 10**6)
    assert forecast.rate() == 0.5
    assert forecast.between(MIDNIGHT, MIDNIGHT + 100, MIDNIGHT) == pytest.approx(50)


def test_a_steady_rate_is_found_within_minutes() -> None:
    """Of all partitions together; a count that comes twice or late adds nothing."""
    forecast = ArrivalForecast(1000.0)
    for second in range(0, 601, 5):
        for partition in range(3):
            forecast.observe(MIDNIGHT + second, partition, 4 * second)
        forecast.observe(MIDNIGHT + second, 0, 2 * second)
    assert forecast.rate() == pytest.approx(12, rel=0.15)


def test_days_are_learned() -> None:
    """A night without queries and a busy noon are expected where they were the days before."""
    hourly = [0] * 8 + [600, 1200, 2400, 4800, 4800, 2400, 1200, 600] + [0] * 8
    forecast = fed(3 * DAY, hourly)
    now = MIDNIGHT + 3 * DAY * HOUR
    assert forecast.between(now, now + 8 * HOUR, now) == pytest.approx(0, abs=60)
    whole = forecast.between(now, now + DAY * HOUR, now)
    assert whole == pytest.approx(sum(hourly), rel=0.05)


@pytest.mark.parametrize("times", [0.5, 2.0], ids=["half", "double"])
@pytest.mark.parametrize("days", [0, 3])
def test_counts_correct_what_is_assumed_or_usual(times: float, days: int) -> None:
    """A quarter of a day, half or twice as busy as expected, tells more than the expectation."""
    now = MIDNIGHT + 3 * DAY * HOUR
    forecast = fed(days * DAY, [3600] * DAY) if days else ArrivalForecast(1.0)
    for minute in range(361):
        forecast.observe(now + minute * 60, 1, round(minute * 60 * times))
    found = forecast.between(now + 6 * HOUR, now + DAY * HOUR, now)
    true = times * 18 * HOUR
    assert abs(found - true) < 0.31 * abs(18 * HOUR - true)


def test_a_burst_is_part_of_its_window() -> None:
    """An hour at four times the usual counts in its hour and its day, and little in the month."""
    forecast = fed(3 * DAY, [3600] * DAY)
    begin, total = MIDNIGHT + 3 * DAY * HOUR, 3 * DAY * 3600
    for minute in range(1, 31):
        forecast.observe(begin + minute * 60, 0, total + minute * 240)
    now = begin + HOUR / 2
    assert forecast.between(now, begin + HOUR, begin) > 3 * 1800
    assert forecast.between(now, begin + DAY * HOUR, begin) < 1.6 * 23.5 * HOUR
    assert forecast.between(now, begin + 20 * DAY * HOUR, begin) < 1.1 * 20 * DAY * HOUR


def test_after_a_burst_the_day_goes_on_as_before() -> None:
    """An hour of ten times the usual, in a day of half of it: what follows it is that half."""
    forecast = fed(3 * DAY, [3600] * DAY)
    begin, total = MIDNIGHT + 3 * DAY * HOUR, 0
    for minute in range(15 * 60):
        total += 600 if 600 <= minute < 660 else 30
        forecast.observe(begin + minute * 60, 1, total)
    now = begin + 15 * HOUR
    found = forecast.between(now, begin + DAY * HOUR, begin)
    assert found == pytest.approx(9 * HOUR / 2, rel=0.3)


def test_a_late_start_of_the_first_day_is_no_quiet_day() -> None:
    """Hours without any arrival do not halve what is expected of the busy ones."""
    forecast = ArrivalForecast(1.0)
    for minute in range(16 * 60):
        forecast.observe(MIDNIGHT + minute * 60, 0, max(minute - 12 * 60, 0) * 120)
    now = MIDNIGHT + 16 * HOUR
    assert forecast.between(now, MIDNIGHT + DAY * HOUR, MIDNIGHT) > 8 * HOUR


def test_few_arrivals_are_no_bursts() -> None:
    """One query in most hours, several in some: what is expected is their mean."""
    forecast, total = ArrivalForecast(1 / 3600), 0
    for minute in range(18 * 60):
        total += minute % 180 == 30 or minute % 60 == 45
        forecast.observe(MIDNIGHT + minute * 60, 0, total)
    now = MIDNIGHT + 18 * HOUR
    expected = total / 18 * 6
    assert forecast.between(now, MIDNIGHT + DAY * HOUR, MIDNIGHT) == pytest.approx(
        expected, rel=0.25
    )


def test_a_quiet_first_night_is_no_end() -> None:
    """After hours without arrivals, the day is not taken to be over."""
    forecast = ArrivalForecast(1.0)
    for minute in range(0, 16 * 60, 5):
        forecast.observe(MIDNIGHT + minute * 60, 0, min(minute, 8 * 60) * 60)
    now = MIDNIGHT + 16 * HOUR
    assert forecast.between(now, MIDNIGHT + DAY * HOUR, MIDNIGHT) > 0.5 * 8 * HOUR


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(0, 40_000), st.integers(0, 3), st.integers(0, 5000)), max_size=60),
    st.floats(0, 1e6),
)
def test_it_is_always_a_number_and_survives_a_restart(
    told: list[tuple[float, int, int]], ahead: float
) -> None:
    """Whatever comes; a restored forecast is the same one."""
    forecast, now = ArrivalForecast(2.0), MIDNIGHT
    for wait, partition, count in told:
        now += wait
        forecast.observe(now, partition, count)
    expected = forecast.between(now, now + ahead, now)
    assert math.isfinite(expected)
    assert expected >= 0
    again = ArrivalForecast(2.0)
    again.restore(forecast.snapshot())
    assert again.between(now, now + ahead, now) == expected
