"""Expected arrivals until budgets end: the pace that prices keep."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from router.arrays import Floats
from router.budget.windows import Calendar, Windowing, window_of


class Horizon:
    """Expected arrivals until each budget's window ends.

    A budget without windows is for a fixed number of arrivals in all; one with windows is for as
    many in each window, assumed to come evenly.
    """

    def __init__(
        self,
        queries: float,
        budgets: Mapping[str, Windowing],
        calendar: Calendar | None = None,
    ) -> None:
        """Set the pace.

        Args:
            queries: Expected arrivals, in all or in a window.
            budgets: Windows by account name.
            calendar: Of these accounts and of newcomers, whose trials keep no pace. None to make
                one.

        Raises:
            ValueError: A zone or kind of window is unknown.
        """
        self._queries = float(queries)
        self._budgets = dict(budgets)
        self._calendar = calendar or Calendar(budgets)

    def latest(self, moment: float) -> dict[str, int]:
        """Return the begin of each account's window at a moment, in Unix seconds."""
        return self._calendar.latest(moment)

    def expected(self, moment: float, arrived: int) -> tuple[float, Floats]:
        """Return the arrivals to plan for, and the part of each budget that they may use.

        The linear program has one number of arrivals. Where windows end at different times it is
        the largest, and a budget that is for fewer arrivals is stretched.

        Args:
            moment: Unix seconds.
            arrived: Arrivals so far.

        Returns:
            The number of arrivals, and float64[M] factors ≥ 1.
        """
        left = np.array([self._left(one, moment, arrived) for one in self._budgets.values()])
        most = float(left.max())
        return most, most / left

    def _left(self, budget: Windowing, moment: float, arrived: int) -> float:
        window = window_of(moment, *budget)
        if window.end is None:
            return max(self._queries - arrived, 1.0)
        return max(self._queries * (window.end - moment) / (window.end - window.begin), 1.0)
