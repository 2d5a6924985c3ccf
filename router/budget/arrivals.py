"""Forecast of arrivals, learned from the counts that partitions report.

With counts of a day or more, the forecast follows the hour of the day: its mean over the days,
recent days weighing more, times how much busier than usual it is now, which is forgotten with the
time ahead. Before that it is the recent rate. Nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HOUR = 3600
DAY = 24
"""Hours."""
KEPT = 15 * DAY
"""Hours that are remembered."""
HALF_LIFE = 900.0
"""Seconds after which past arrivals count half in the recent rate."""
TRUST = 60.0
"""Seconds after which half of the recent rate is measured, not assumed."""
FADES = 3.0
"""Hours ahead at which half of today's difference from the usual is expected to be left."""
OLDER = 0.8
"""What a day counts relative to the day after it."""
FAR = 4.0
"""Most by which now may differ from the usual."""


class ArrivalForecast:
    """Expected arrivals in any span of time to come."""

    def __init__(self, rate: float) -> None:
        """Begin without counts.

        Args:
            rate: Arrivals a second that are assumed before any are counted.
        """
        self._assumed = rate
        self._counts: dict[int, int] = {}
        self._hours: dict[int, int] = {}
        self._since: float | None = None
        self._at = 0.0
        self._recent = 0.0
        self._weight = 0.0

    def observe(self, moment: float, partition: int, count: int) -> None:
        """Take in how many queries have arrived on a partition since its start.

        Args:
            moment: Unix seconds; not before the one of the call before.
            partition: Its number.
            count: Arrivals; the first of each partition only says where counting begins.
        """
        if self._since is None:
            self._since = self._at = moment
        came = max(count - self._counts.get(partition, count), 0)
        self._counts[partition] = max(count, self._counts.get(partition, 0))
        hour = int(moment // HOUR)
        if hour not in self._hours:
            self._hours[hour] = 0
            self._hours = {at: n for at, n in self._hours.items() if at > hour - KEPT}
        self._hours[hour] += came
        fade = 0.5 ** (max(moment - self._at, 0.0) / HALF_LIFE)
        self._recent = self._recent * fade + came
        self._weight = self._weight * fade + max(moment - self._at, 0.0)
        self._at = max(moment, self._at)

    def rate(self) -> float:
        """Return the recent arrivals a second."""
        measured = self._recent / self._weight if self._weight > 0 else self._assumed
        trust = 1 - 0.5 ** ((self._at - self._since) / TRUST) if self._since is not None else 0.0
        return trust * measured + (1 - trust) * self._assumed

    def between(self, begin: float, end: float) -> float:
        """Return how many arrivals are expected in a span that begins about now.

        Args:
            begin: Unix seconds.
            end: Unix seconds, not before `begin`.
        """
        usual = self._usual(begin)
        if usual is None:
            return self.rate() * (end - begin)
        now = usual[int(begin // HOUR) % DAY]
        busier = self.rate() / now if now > 0 else 1.0
        more = min(max(busier, 1 / FAR), FAR) - 1
        total, at = 0.0, begin
        while at < end:
            until = min((at // HOUR + 1) * HOUR, end)
            ahead = ((at + until) / 2 - begin) / HOUR
            factor = 1 + more * 0.5 ** (ahead / FADES)
            total += usual[int(at // HOUR) % DAY] * factor * (until - at)
            at = until
        return total

    def _usual(self, moment: float) -> list[float] | None:
        """Return the usual arrivals a second by hour of the day; None before there is a day."""
        if self._since is None:
            return None
        current, first = int(moment // HOUR), int(self._since // HOUR) + 1
        first = max(first, min(self._hours, default=current))
        if current - first < DAY:
            return None
        sums, weights = [0.0] * DAY, [0.0] * DAY
        for hour in range(max(first, current - KEPT + 1), current):
            weight = OLDER ** ((current - hour) // DAY)
            sums[hour % DAY] += weight * self._hours.get(hour, 0) / HOUR
            weights[hour % DAY] += weight
        return [total / weight for total, weight in zip(sums, weights, strict=True)]

    def snapshot(self) -> dict[str, Any]:
        """Return all that has been counted, JSON-ready."""
        return {
            "counts": {str(partition): count for partition, count in self._counts.items()},
            "hours": {str(hour): count for hour, count in self._hours.items()},
            "since": self._since,
            "at": self._at,
            "recent": self._recent,
            "weight": self._weight,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the counts by a `snapshot()`."""
        self._counts = {int(one): int(count) for one, count in snapshot["counts"].items()}
        self._hours = {int(hour): int(count) for hour, count in snapshot["hours"].items()}
        self._since, self._at = snapshot["since"], float(snapshot["at"])
        self._recent, self._weight = float(snapshot["recent"]), float(snapshot["weight"])
