"""Sums and states over time in a bounded memory: the resolution halves when it is full."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

MOST = 600
"""Steps that are kept."""
WIDEST = 64
"""Seconds of the widest step; beyond it the oldest steps are dropped: those before ten hours."""
_DENSITY = 8
"""Classes of durations per factor of two: percentiles are within 9 %."""


class Step:
    """What happened within a few seconds.

    Attributes:
        sums: Counts and amounts by name.
        states: The last values by name.
        durations: By name, counts of durations by class.
    """

    __slots__ = ("durations", "states", "sums")

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.states: dict[str, float] = {}
        self.durations: dict[str, dict[int, int]] = {}

    def add(self, name: str, value: float = 1.0) -> None:
        """Add to a sum."""
        self.sums[name] = self.sums.get(name, 0.0) + value

    def observe(self, name: str, seconds: float) -> None:
        """Count a duration."""
        kind = math.ceil(_DENSITY * math.log2(max(seconds, 1e-4)))
        counts = self.durations.setdefault(name, {})
        counts[kind] = counts.get(kind, 0) + 1

    def take(self, later: Step) -> None:
        """Take in a later step."""
        for name, value in later.sums.items():
            self.add(name, value)
        self.states |= later.states
        for name, counts in later.durations.items():
            own = self.durations.setdefault(name, {})
            for kind, count in counts.items():
                own[kind] = own.get(kind, 0) + count

    def percentile(self, name: str, part: float) -> float | None:
        """Seconds that a part (0 to 1) of the durations do not exceed; None without any."""
        counts = self.durations.get(name)
        if not counts:
            return None
        left = part * sum(counts.values())
        for kind in sorted(counts):
            left -= counts[kind]
            if left <= 1e-9:
                return float(2 ** (kind / _DENSITY))
        raise AssertionError("the counts sum to less than themselves")

    def values(self) -> dict[str, Any]:
        """Return the step for JSON: sums, states, and two percentiles of each kind of duration."""
        found: dict[str, Any] = {"sums": self.sums, "states": self.states}
        for part in (0.5, 0.95):
            found[f"p{part * 100:.0f}"] = {n: self.percentile(n, part) for n in self.durations}
        return found


class Timeline:
    """Steps of equal width, the newest `MOST` of them."""

    def __init__(self) -> None:
        self.width = 1
        """Seconds of a step."""
        self._steps: dict[int, Step] = {}

    def at(self, moment: float) -> Step:
        """Return the step of a moment, Unix seconds; one that is too old is forgotten at once."""
        place = int(moment) // self.width
        if (step := self._steps.get(place)) is not None:
            return step
        step = self._steps[place] = Step()
        first, last = min(self._steps), max(self._steps)
        if last - first < MOST:
            return step
        if self.width < WIDEST:
            self._widen()
            return self.at(moment)
        for old in [number for number in self._steps if number <= last - MOST]:
            del self._steps[old]
        return step

    def rows(self, since: float = -math.inf) -> Iterator[dict[str, Any]]:
        """Yield steps for JSON, with their beginning `t` in Unix seconds, those from `since` on."""
        for place in sorted(self._steps):
            if (place + 1) * self.width > since:
                yield {"t": place * self.width, **self._steps[place].values()}

    def recent(self, since: float) -> Step:
        """Return the sum of the steps from `since` on."""
        total = Step()
        for place in sorted(self._steps):
            if (place + 1) * self.width > since:
                total.take(self._steps[place])
        return total

    def _widen(self) -> None:
        self.width *= 2
        steps, self._steps = self._steps, {}
        for place in sorted(steps):
            self._steps.setdefault(place // 2, Step()).take(steps[place])
