"""What is seen of one model: its mean estimates, what it was sent, what it has answered."""

from __future__ import annotations

from collections import deque
from typing import Any

RECENT = 60.0
"""Seconds that count as now."""
SILENT = 30.0
"""Seconds without an answer, while some are awaited, after which a backend seems to be away."""


class ModelWatch:
    """One model, from receipts and results."""

    def __init__(self) -> None:
        self._quality = self._cost = 0.0
        self._estimates = 0
        self._in_flight = 0
        self._waiting_since: float | None = None
        self._answers: deque[tuple[float, bool]] = deque(maxlen=1000)
        self._why = ""

    def estimated(self, quality: float, cost: float) -> None:
        """Count the estimates of a query, whoever answers it. cost: nano-units."""
        self._quality += quality
        self._cost += cost
        self._estimates += 1

    def quality_for(self, nano: float) -> float:
        """Return the quality that an amount buys, in queries drawn at random."""
        return nano * self._quality / self._cost if self._cost else 0.0

    def sent(self, moment: float) -> None:
        """Count a query that went to the model."""
        if not self._in_flight:
            self._waiting_since = moment
        self._in_flight += 1

    def answered(self, moment: float, ok: bool, why: str) -> None:
        """Count an answer. why: the error."""
        self._in_flight = max(self._in_flight - 1, 0)
        self._waiting_since = moment if self._in_flight else None
        self._answers.append((moment, ok))
        if not ok:
            self._why = why

    def forgotten(self) -> None:
        """Count a query whose answer is awaited no more."""
        self._in_flight = max(self._in_flight - 1, 0)

    def state(self, now: float) -> dict[str, Any]:
        """Return what is seen, for JSON.

        The backend is "up", "failing" (most answers of the last minute are errors), "silent" (some
        are awaited, and none has come for `SILENT` seconds) or "idle".
        """
        recent = [ok for moment, ok in self._answers if moment > now - RECENT]
        failed = recent.count(False)
        if self._waiting_since is not None and now - self._waiting_since > SILENT:
            backend = "silent"
        elif failed * 2 > len(recent):
            backend = "failing"
        else:
            backend = "up" if recent else "idle"
        return {
            "backend": backend,
            "why": self._why if backend == "failing" else "",
            "silent": None if self._waiting_since is None else now - self._waiting_since,
            "in_flight": self._in_flight,
            "answered": len(recent) - failed,
            "failed": failed,
            "quality": self._quality / self._estimates if self._estimates else None,
        }
