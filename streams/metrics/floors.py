"""What Prometheus and the log are told of quality floors."""

from __future__ import annotations

import logging
from collections import Counter as Counting
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter

from schemas import Receipt

logger = logging.getLogger(__name__)


class FloorMetrics:
    """Counts decisions by floor, their estimated scores, and what has given way to limits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Counter(
            "sluice_floor_decisions_total",
            "Decisions by quality floor, and what gave way where limits had no room.",
            ("floor", "gave_way"),
            registry=registry,
        )
        self._scores = Counter(
            "sluice_floor_estimated_score_total",
            "Sum of the estimated scores of the models chosen, by quality floor.",
            ("floor",),
            registry=registry,
        )

    def decided(self, receipts: Iterable[Receipt]) -> None:
        """Count decisions, and log what has given way; those without a floor do not count."""
        counted: Counting[tuple[str, str]] = Counting()
        short: Counting[tuple[str, str, str]] = Counting()
        for receipt in receipts:
            if receipt.floor is None:
                continue
            floor = f"{receipt.floor:g}"
            counted[floor, receipt.gave_way or ""] += 1
            if receipt.model is not None:
                self._scores.labels(floor).inc(receipt.quality[receipt.model])
            if receipt.gave_way is not None:
                lacking = ", ".join(receipt.short_of) or "a budget"
                short[receipt.gave_way, floor, lacking] += 1
        for labels, count in counted.items():
            self._decisions.labels(*labels).inc(count)
        for (gave_way, floor, lacking), count in short.items():
            outcome = "went to a lesser model" if gave_way == "floor" else "wait"
            logger.warning(
                "the money does not hold the floor %s: %d queries %s, for %s had no room",
                floor,
                count,
                outcome,
                lacking,
            )
