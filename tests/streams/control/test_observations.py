"""What a controller observes of the models' servers. (With reports: test_learning.py.)"""

from __future__ import annotations

import pytest

from router.models.busy_pools import BusyPools
from router.models.catalog import Model
from router.models.pools import Pool
from streams.control.observations import Observations
from tests.support.decisions import report

POOLED = Model("large", 1, 1, pools=(Pool("short", 10, 1, 1, capacity=10), Pool("long", 20, 1, 1)))


def test_busy_pools_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """In the log, when they change, and as the field of a record of prices."""
    caplog.set_level("INFO")
    seen = Observations(pools=BusyPools([POOLED]))
    assert seen.snapshot() == {"token_ratios": {}, "image_tokens": {}, "busy_pools": []}
    seen.learn(report(0, in_flight={"large.short": 9}))
    assert [seen.judge_pools(1), seen.judge_pools(1)] == [True, False]
    assert seen.snapshot()["busy_pools"] == ["large.short"]
    assert [seen.take_news(), seen.take_news()] == [True, False]
    seen.learn(report(0))
    assert seen.judge_pools(1)
    assert caplog.messages == ["busy pools: large.short", "busy pools: none"]
