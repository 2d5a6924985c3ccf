"""For how many queries the money of now is: the pace that prices keep."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from router.arrays import Floats
from router.budget.windows import Calendar, Windowing, window_of


class Horizon:
    """Expected arrivals until each budget's window ends.

    A budget without windows is for `queries` arrivals in all; one with windows is for as many in
    its window, taken to come evenly.
    """

    def __init__(
        self,
        queries: float,
        budgets: Mapping[str, Windowing],
        calendar: Calendar | None = None,
    ) -> None:
        """`budgets` by account name; calendar: of these accounts, and of newcomers, whose trials
        keep no pace. Raises ValueError for an unknown zone or kind.
        """
        self._queries = float(queries)
        self._budgets = dict(budgets)
        self._calendar = calendar or Calendar(budgets)

    def latest(self, moment: float) -> dict[str, int]:
        """Return the begin of each account's window at a moment, Unix seconds."""
        return self._calendar.latest(moment)

    def expected(self, moment: float, arrived: int) -> tuple[float, Floats]:
        """Return the arrivals to plan for, and the part of each budget that they may use.

        A program has one number of arrivals; where windows end at different times, it is that of
        the last, and a budget that is for fewer is stretched: float64[M], at least 1.
        """
        left = np.array([self._left(one, moment, arrived) for one in self._budgets.values()])
        most = float(left.max())
        return most, most / left

    def _left(self, budget: Windowing, moment: float, arrived: int) -> float:
        window = window_of(moment, *budget)
        if window.end is None:
            return max(self._queries - arrived, 1.0)
        return max(self._queries * (window.end - moment) / (window.end - window.begin), 1.0)
