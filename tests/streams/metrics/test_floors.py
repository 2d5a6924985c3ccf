"""Floors in metrics and in the log."""

from __future__ import annotations

import logging

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from streams.metrics.floors import FloorMetrics
from tests.support.recorded import receipt


def test_what_gives_way_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """By floor; a line for each kind, with the accounts that had no room, and none without."""
    registry = CollectorRegistry()
    metrics = FloorMetrics(registry)
    kept = structs.replace(receipt(0), floor=0.7, quality={"small": 0.75, "large": 0.9})
    lesser = structs.replace(kept, gave_way="floor", short_of=["total"])
    waits = structs.replace(kept, model=None, gave_way="query")
    with caplog.at_level(logging.WARNING):
        metrics.decided([kept, kept, receipt(1)])
        assert caplog.messages == []
        metrics.decided([lesser, lesser, waits])
    assert caplog.messages == [
        "the money does not hold the floor 0.7: 2 queries went to a lesser model, for total had "
        "no room",
        "the money does not hold the floor 0.7: 1 queries wait, for a budget had no room",
    ]

    def count(gave_way: str) -> float | None:
        labels = {"floor": "0.7", "gave_way": gave_way}
        return registry.get_sample_value("sluice_floor_decisions_total", labels)

    assert [count(what) for what in ("", "floor", "query")] == [2, 2, 1]
    scores = registry.get_sample_value("sluice_floor_estimated_score_total", {"floor": "0.7"})
    assert scores == pytest.approx(3.0)
