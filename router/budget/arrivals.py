"""Forecast of arrivals, learned from the counts that partitions report.

What is usual is the mean by hour of the day, recent days weighing more; before there is a day of
counts, it is an even rate that was assumed and that counts correct. How the window so far differs
from it is expected of the rest too, in so far as it cannot be chance: as if a tenth of a window had
come as usual before it (the posterior mean of a Poisson rate under a gamma prior). Hours that
differ from most others of the window count as if they differed little: a burst or a pause says
nothing of the hours after it. While it lasts it is expected to go on for about another hour.
Nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
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
GIVEN, GUESSED = 8640.0, 60.0
"""Seconds of counts that an assumed rate weighs as much as: one that somebody gave, or nobody."""
OLDER = 0.8
"""What a day counts relative to the day after it."""
PRIOR = 0.1
"""The part of a window's usual arrivals that the usual counts for beside those that came."""
CLIP = 1.5
"""How many times busier, or quieter, than most hours an hour counts at most."""
CHANCE = 3.0
"""Standard deviations by which an hour may differ beside."""
QUIET = 0.1
"""Hours with less than this part of the mean say nothing of how busy most hours are."""
LASTS = 3600.0
"""Seconds that a burst or a pause goes on for, in the mean."""


class ArrivalForecast:
    """Expected arrivals in any span of time to come."""

    def __init__(self, rate: float, weight: float = GIVEN) -> None:
        """Begin without counts.

        Args:
            rate: Arrivals a second that are assumed before any are counted.
            weight: Seconds of counts that correct it by half.
        """
        self._assumed, self._assumed_for = rate, weight
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

    def between(self, moment: float, end: float, begin: float) -> float:
        """Return how many arrivals are expected in the rest of a window.

        Args:
            moment: Unix seconds, about now.
            end: Unix seconds, of the window; not before `moment`.
            begin: Likewise; not after `moment`.
        """
        if self._since is None:
            return self._assumed * (end - moment)
        # Of a longer window the last day counts: the days before it are what is usual by then.
        counted = max(begin, moment - DAY * HOUR) // HOUR * HOUR
        usual = self._usual(counted)
        start = max(counted, self._since)
        hours = [
            (n, _total(usual, max(hour * HOUR, start), min((hour + 1) * HOUR, moment)))
            for hour, n in self._hours.items()
            if counted <= hour * HOUR <= moment
        ]
        prior = PRIOR * _total(usual, begin, end)
        if not self._has_day(counted):
            prior = min(prior, self._assumed_for * usual[0])
        busier = _busier(hours, prior)
        now = busier * usual[int(moment // HOUR) % DAY]
        lasting = LASTS * (1 - math.exp((moment - end) / LASTS))
        rest = busier * _total(usual, moment, end)
        return max(rest + self._burst(now) * lasting, 0.0)

    def _burst(self, rate: float) -> float:
        """Return by how much the recent arrivals a second exceed a rate, beyond what is chance."""
        if self._weight <= 0:
            return 0.0
        chance = CHANCE * math.sqrt(max(rate * self._weight, 1.0))
        more = self._recent - rate * self._weight
        return math.copysign(max(abs(more) - chance, 0.0), more) / self._weight

    def _usual(self, moment: float) -> list[float]:
        """Return the usual arrivals a second by hour of the day, by what came before a moment."""
        assert self._since is not None
        current = int(moment // HOUR)
        if not self._has_day(moment):
            came = sum(count for hour, count in self._hours.items() if hour < current)
            elapsed = max(moment - self._since, 0.0)
            even = (self._assumed_for * self._assumed + came) / (self._assumed_for + elapsed)
            return [even] * DAY
        sums, weights = [0.0] * DAY, [0.0] * DAY
        for hour in range(self._first_hour(), current):
            weight = OLDER ** ((current - 1 - hour) // DAY)
            sums[hour % DAY] += weight * self._hours.get(hour, 0) / HOUR
            weights[hour % DAY] += weight
        return [total / weight for total, weight in zip(sums, weights, strict=True)]

    def _has_day(self, moment: float) -> bool:
        """Return whether there are counts of a whole day before a moment."""
        return moment // HOUR - self._first_hour() >= DAY

    def _first_hour(self) -> int:
        """Return the first hour that was counted whole."""
        assert self._since is not None
        return max(int(self._since // HOUR) + 1, min(self._hours))

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


def _busier(hours: Sequence[tuple[int, float]], prior: float) -> float:
    """Return how many times as many arrivals as usual most hours bring.

    Args:
        hours: What came and what was foreseen, by hour.
        prior: Arrivals that the usual counts for.
    """
    foreseen = sum(usual for _, usual in hours)
    if foreseen + prior <= 0:
        return 1.0
    mean = sum(n for n, _ in hours) / foreseen if foreseen else 1.0
    ratios = [n / usual for n, usual in hours if usual > 0 and n > QUIET * mean * usual]
    most = median(ratios) if ratios else mean
    came = 0.0
    for n, usual in hours:
        chance = CHANCE * math.sqrt(max(usual * most, 1.0))
        came += min(max(n, usual * most / CLIP - chance), usual * most * CLIP + chance)
    return (came + prior) / (foreseen + prior)


def _total(rates: Sequence[float], begin: float, end: float) -> float:
    """Return the arrivals of a span at rates by hour of the day."""
    total, at = 0.0, begin
    while at < end:
        until = min((at // HOUR + 1) * HOUR, end)
        total += rates[int(at // HOUR) % DAY] * (until - at)
        at = until
    return total
