"""Budget windows: which one a moment falls into, by the calendar of a time zone.

A day is a day of the wall clock there (23 to 25 hours where clocks change), a month a calendar
month. An hour is always 3600 seconds, a minute 60. `start` sets the phase: windows begin at its
time of day, and months on its day (on their last day, where they are shorter); moments before it
fall into windows that are counted back from it. Without it they begin at midnight, and on the 1st.
Every moment lies in exactly one window, and every window ends where the next begins.
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from router.arrays import Ints
from schemas.fields import Window as Kind

MINUTE = 60
HOUR = 3600


class Window(NamedTuple):
    """A span of time of a budget.

    Attributes:
        begin: Unix second of its first moment, which identifies it; 0 for kind "none".
        end: Unix second of the first moment after it; None for one that never ends.
    """

    begin: int
    end: int | None


class Windowing(NamedTuple):
    """How a budget's windows follow one another: the arguments of `window_of`.

    Attributes:
        kind: "none", "minute", "hour", "day" or "month".
        zone: IANA time zone.
        start: Unix seconds that set the phase; None for midnight, and the 1st.
    """

    kind: Kind = "none"
    zone: str = "UTC"
    start: float | None = None


ALWAYS = Window(0, None)
"""The one window of a budget that has none."""


class Calendar:
    """The windows of all accounts of a ledger, in its order."""

    def __init__(self, budgets: Mapping[str, Windowing]) -> None:
        """Set the windows of a ledger's accounts.

        Args:
            budgets: By account name, in the ledger's order.

        Raises:
            ValueError: A zone or kind is unknown.
        """
        self._budgets = dict(budgets)
        self._from, self._until = math.inf, -math.inf
        self.begins(0.0)

    def add(self, name: str, budget: Windowing) -> None:
        """Add an account after the others."""
        self._budgets[name] = budget
        self._until = -math.inf

    def begins(self, moment: float) -> Ints:
        """Return int64[M], the begin of each account's window at a moment, for `Ledger.roll`."""
        if not self._from <= moment < self._until:
            windows = [window_of(moment, *budget) for budget in self._budgets.values()]
            self._begins = np.array([window.begin for window in windows], dtype=np.int64)
            bounded = [(window.begin, window.end) for window in windows if window.end is not None]
            self._from = max((begin for begin, _ in bounded), default=-math.inf)
            self._until = min((end for _, end in bounded), default=math.inf)
        return self._begins

    def ends(self, moment: float) -> dict[str, int]:
        """Return by account name when its window at a moment ends; without those that never do."""
        windows = {name: window_of(moment, *budget) for name, budget in list(self._budgets.items())}
        return {name: each.end for name, each in windows.items() if each.end is not None}

    def latest(self, moment: float) -> dict[str, int]:
        """Return the begins by account name: for `ShareAllocator.observe`."""
        return dict(zip(self._budgets, self.begins(moment).tolist(), strict=True))


def window_of(moment: float, kind: Kind, zone: str = "UTC", start: float | None = None) -> Window:
    """Return the window that a moment falls into.

    Args:
        moment: Unix seconds.
        kind: Of the windows.
        zone: An IANA name.
        start: Unix seconds that set the phase; fractions are ignored.

    Raises:
        ValueError: The zone or kind is unknown, or the moment is beyond the calendar.
    """
    if kind == "none":
        return ALWAYS
    where = _zone(zone)
    if kind in ("minute", "hour"):
        return _even(moment, MINUTE if kind == "minute" else HOUR, where, start)
    if kind not in ("day", "month"):
        kinds = "none, minute, hour, day, month"
        raise ValueError(f"window: found {kind!r}, it must be one of: {kinds}")
    try:
        first = None if start is None else datetime.fromtimestamp(int(start), where)
        today = datetime.fromtimestamp(moment, where).date()
        at = time() if first is None else first.time()
        on = 1 if first is None else first.day
        begins = _days(today, at, where) if kind == "day" else _months(today, on, at, where)
        return _around(moment, begins)
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"moment: found {moment}, it must lie within the calendar") from error


def _around(moment: float, begin: Callable[[int], int]) -> Window:
    """Find the window by the begins of its neighbours: the last that is not after the moment."""
    ahead = 1
    while begin(ahead) > moment:
        ahead -= 1
    return Window(begin(ahead), begin(ahead + 1))


def _days(today: date, at: time, where: tzinfo) -> Callable[[int], int]:
    return lambda ahead: _second(today + timedelta(days=ahead), at, where)


def _months(today: date, on: int, at: time, where: tzinfo) -> Callable[[int], int]:
    def begin(ahead: int) -> int:
        year, month = divmod(today.year * 12 + today.month - 1 + ahead, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return _second(date(year, month + 1, min(on, last)), at, where)

    return begin


def _second(day: date, at: time, where: tzinfo) -> int:
    """Return the first moment that the wall clock shows this, or would have if it is skipped."""
    return int(datetime.combine(day, at.replace(fold=0), where).timestamp())


def _even(moment: float, length: int, where: tzinfo, start: float | None) -> Window:
    """Count whole windows from the start, else from a midnight there (some zones are at :30)."""
    first = datetime(2000, 1, 1, tzinfo=where).timestamp() if start is None else start
    phase = int(first) % length
    begin = int((moment - phase) // length) * length + phase
    return Window(begin, begin + length)


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # what zoneinfo raises for no such name
        rule = "it must be an IANA time zone, such as Europe/Berlin"
        raise ValueError(f"zone: found {name!r}, {rule}") from error
