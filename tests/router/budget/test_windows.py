"""What must hold of budget windows, on every calendar and at every moment."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.budget.windows import HOUR, Calendar, Window, Windowing, window_of
from schemas.fields import Window as Kind

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",  # half an hour of summer time
    "America/Asuncion",  # clocks that changed at midnight
    "Pacific/Apia",  # a day that never was
    "Africa/Casablanca",
]
kinds = st.sampled_from(["hour", "day", "month"])
zones = st.sampled_from(ZONES)
moments = st.floats(86_400, 4e9)
starts = st.none() | st.floats(86_400, 4e9)


@given(moment=moments, kind=kinds, zone=zones, start=starts)
@settings(max_examples=300)
def test_every_moment_lies_in_exactly_one_window(
    moment: float, kind: Kind, zone: str, start: float | None
) -> None:
    """Windows hold the moment, and end where the next begins; so do the ones beside them."""
    window = window_of(moment, kind, zone, start)
    assert window.end is not None
    assert window.begin <= moment < window.end
    assert window_of(window.begin, kind, zone, start) == window
    assert window_of(window.end - 1, kind, zone, start) == window
    assert window_of(window.end, kind, zone, start).begin == window.end
    assert window_of(window.begin - 1, kind, zone, start).end == window.begin


@given(zone=zones, start=st.floats(86_400, 4e9), kind=kinds)
@settings(max_examples=200)
def test_the_first_window_begins_at_the_start(zone: str, start: float, kind: Kind) -> None:
    """To the second; a day whose wall clock shows that time twice begins at the first of them."""
    begin = window_of(start, kind, zone, start).begin
    local = datetime.fromtimestamp(int(start), ZoneInfo(zone))
    first = int(start) if kind == "hour" else int(local.replace(fold=0).timestamp())
    assert begin == first


@given(moment=moments)
def test_no_window_is_one_window(moment: float) -> None:
    """Its id is 0, and it never ends."""
    assert window_of(moment, "none", "Europe/Berlin") == Window(0, None)


@given(moments=st.lists(moments, min_size=1, max_size=20))
def test_a_calendar_knows_each_accounts_window(moments: list[float]) -> None:
    """In any order of moments; what it remembers from one to the next is never told too long."""
    budgets = {
        "cheap": Windowing("hour"),
        "good": Windowing("month", "Europe/Berlin", 10**9),
        "best": Windowing(),
    }
    calendar = Calendar(budgets)
    for moment in [at + near for at in moments for near in (0, 60, -60)]:
        begins = {name: window_of(moment, *budget).begin for name, budget in budgets.items()}
        assert calendar.latest(moment) == begins
        assert calendar.begins(moment).tolist() == list(begins.values())
        ends = {name: window_of(moment, *budget).end for name, budget in budgets.items()}
        assert ends.pop("best") is None
        assert calendar.ends(moment) == ends


def moment_of(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("at", "kind", "zone", "start", "begin", "hours"),
    [
        ("2026-03-29T12:00", "day", "Europe/Berlin", None, "2026-03-29T00:00", 23),
        ("2026-10-25T12:00", "day", "Europe/Berlin", None, "2026-10-25T00:00", 25),
        ("2026-10-25T12:00", "day", "UTC", None, "2026-10-25T00:00", 24),
        ("2028-02-29T23:59", "month", "UTC", None, "2028-02-01T00:00", 29 * 24),
        ("2026-02-10T00:00", "month", "UTC", None, "2026-02-01T00:00", 28 * 24),
        ("2026-12-31T23:59", "month", "Asia/Kolkata", None, "2026-12-01T00:00", 31 * 24),
        ("2026-03-15T00:00", "month", "UTC", "2026-01-31T06:00", "2026-02-28T06:00", 31 * 24),
        ("2026-05-02T05:00", "day", "UTC", "2026-01-01T06:00", "2026-05-01T06:00", 24),
        ("2026-05-02T05:40", "hour", "Asia/Kolkata", None, "2026-05-02T05:00", 1),
        ("2026-05-02T05:40", "hour", "UTC", "2026-01-01T00:50", "2026-05-02T04:50", 1),
    ],
)
def test_lengths(at: str, kind: Kind, zone: str, start: str | None, begin: str, hours: int) -> None:
    """Months, leap years and clock changes are those of the calendar there."""
    first = None if start is None else moment_of(start, zone)
    window = window_of(moment_of(at, zone), kind, zone, first)
    assert window.end is not None
    assert datetime.fromtimestamp(window.begin, ZoneInfo(zone)) == datetime.fromtimestamp(
        moment_of(begin, zone), ZoneInfo(zone)
    )
    assert window.end - window.begin == hours * HOUR


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "../etc/passwd", "/etc/passwd", "", "x\0"])
def test_an_unknown_zone_is_named(zone: str) -> None:
    """The error says what a zone looks like."""
    with pytest.raises(ValueError, match="it must be an IANA time zone"):
        window_of(0, "day", zone)


def test_a_moment_beyond_the_calendar_is_refused() -> None:
    """Rather than wrapped around, or an error of another kind."""
    with pytest.raises(ValueError, match="within the calendar"):
        window_of(1e15, "month")
