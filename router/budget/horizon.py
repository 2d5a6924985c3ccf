"""Expected arrivals until the windows of limits end: the pace that prices keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from router.arrays import Floats
from router.budget.arrivals import GIVEN, GUESSED, ArrivalForecast
from router.budget.ledger import owner
from router.budget.windows import MINUTE, Calendar, Windowing, window_of

USUAL_MONTH = 30 * 86_400
"""Seconds; what a month is taken for where windows are compared."""
LENGTHS = {"none": 0, "minute": MINUTE, "hour": 3600, "day": 86_400, "month": USUAL_MONTH}


class Horizon:
    """Expected arrivals until each limit's window ends.

    Where some limit has no window, their number in all is given. Otherwise they are forecast from
    what has arrived (`arrivals.py`): a number given, of one of the longest windows, is what is
    assumed before any are counted.
    A minute is too short to pace: what is left of it is planned for as a whole one.
    """

    def __init__(
        self,
        queries: float | None,
        limits: Mapping[str, Windowing],
        calendar: Calendar | None = None,
        usual: float = 1000.0,
    ) -> None:
        """Set the pace.

        Args:
            queries: Expected arrivals, in all or in one of the longest windows; None where nobody
                says.
            limits: Windows by the limit's name.
            calendar: Of these limits and of newcomers, whose trials keep no pace. None to make one.
            usual: Arrivals of one of the longest windows that are assumed where `queries` is None.

        Raises:
            ValueError: A zone or kind of window is unknown.
        """
        self._queries = queries
        self._limits = dict(limits)
        self._calendar = calendar or Calendar(limits)
        lengths = [LENGTHS[limit.kind] for limit in limits.values()]
        longest = max(lengths, default=0) if all(lengths) else 0
        given = usual if queries is None else queries
        weight = GUESSED if queries is None else GIVEN
        self.forecast = ArrivalForecast(given / longest if longest else 0.0, weight)

    def latest(self, moment: float) -> dict[str, int]:
        """Return the begin of each limit's window at a moment, in Unix seconds."""
        return self._calendar.latest(moment)

    def whole(self, names: Iterable[str]) -> Floats:
        """Return float64, the arrivals expected in a whole window of each limit, before any came.

        Args:
            names: Of limits, or of accounts.
        """
        rate = self.forecast.rate()
        return np.array([self._whole(rate, self._windowing(name)) for name in names], np.float64)

    def expected(self, moment: float, arrived: int, names: Iterable[str]) -> Floats:
        """Return float64, the arrivals to plan for with what is left of each limit, ≥ 1.

        Args:
            moment: Unix seconds.
            arrived: Arrivals so far.
            names: Of limits, or of accounts.
        """
        left: dict[Windowing, float] = {}
        found = []
        for name in names:
            windowing = self._windowing(name)
            if windowing not in left:
                left[windowing] = max(self._left(windowing, moment, arrived), 1.0)
            found.append(left[windowing])
        return np.array(found, np.float64)

    def _windowing(self, name: str) -> Windowing:
        return self._limits.get(owner(name)[0], Windowing())

    def _whole(self, rate: float, windowing: Windowing) -> float:
        if windowing.kind == "none":
            return max(self._queries or 0.0, 1.0)
        return max(rate * LENGTHS[windowing.kind], 1.0)

    def _left(self, windowing: Windowing, moment: float, arrived: int) -> float:
        window = window_of(moment, *windowing)
        if window.end is None:
            return (self._queries or 0.0) - arrived
        if windowing.kind == "minute":
            return self.forecast.rate() * MINUTE
        return self.forecast.between(moment, window.end, window.begin)
