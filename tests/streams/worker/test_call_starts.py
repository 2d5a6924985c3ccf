"""What a worker finds of calls that others have begun."""

from __future__ import annotations

from typing import Any

import pytest

from streams.kafka.logs import LogError
from streams.kafka.starts import Calls
from streams.worker import call_starts
from streams.worker.call_starts import CallStarts
from tests.support.worker_place import routed


class Log:
    """Holds one decision; cannot be read `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.hold = failures, 60.0
        self.asked: list[tuple[float, ...]] = []

    def now(self) -> float:
        return 1002.0

    def decisions(self, *question: float) -> Calls:
        *place, asked = question
        assert asked == self.now(), "it was asked before it waited for a thread"
        self.asked.append(tuple(place))
        if len(self.asked) <= self.failures:
            raise LogError("no broker")
        return Calls({"decision a"}, {"decision b"})


def starts(log: Any) -> CallStarts:
    publisher: Any = None
    return CallStarts(publisher, log)


async def test_what_has_begun_is_looked_up_in_the_time_of_its_reservation() -> None:
    """By its decision, on the partition of its query."""
    log = Log()
    assert await starts(log).fate(routed("a", start_by=1000.0, release_at=1001.0)) == "begun"
    assert await starts(log).fate(routed("b", release_at=1001.0)) == "returned"
    assert await starts(log).fate(routed("c", release_at=1001.0)) == "unknown"
    assert log.asked == [(0, 940.0, 1000.0), (0, 941.0, 1001.0), (0, 941.0, 1001.0)]


async def test_a_broker_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess could cost money, or a query."""
    monkeypatch.setattr(call_starts, "AGAIN", 0.0)
    assert await starts(Log(failures=2)).fate(routed("a", start_by=1000.0)) == "begun"
