"""What Prometheus is told: counts by label, and the accounts as they stand."""

from __future__ import annotations

import numpy as np
import pytest

from router.budget.ledger import Ledger, account_key
from schemas import Receipt
from streams.brokers.kafka import free_port
from streams.metrics.router import Live, Metrics, Published
from streams.state.rows import Log
from tests.support.recorded import FLEET, new_ledger, receipt
from tests.support.scrape import scrape


def published(receipt: Receipt, created: float = 100.0) -> Published:
    """A decision on a record that was made at a moment, Unix seconds."""
    return Published(int(created * 1000), receipt)


@pytest.fixture
def metrics() -> Metrics:
    """Two partitions, one with something held, spent, and limited for the shop."""
    one, other = new_ledger((2_000_000_000, 0)), new_ledger((1_000_000_000, 0))
    one.reserve(np.array([0]), np.array([500_000_000]))
    one.settle(0, 100_000_000, 250_000_000, 0)
    one.limit_tenants(frozenset({account_key("small", "shop")}))
    one.share[2] = 3_000_000_000
    live = Live(
        [one, other],
        7,
        {"small": 2e-9, "large": 0.0},
        4,
        40,
        limits={"small": 5_000_000_000, account_key("small", "shop"): 3_000_000_000},
        window_ends={"small": 200},
        backlog={0: 10, 1: 2},
        partitions=3,
        pools={"small.short": 5, "small.long": 0},
        busy_pools=["small.short"],
    )
    return Metrics(FLEET.names, lambda: live, lambda: 130.0)


def test_everything_is_there_at_zero(metrics: Metrics) -> None:
    """Each label value that can be known before it comes, so that rates begin at 0."""
    found = scrape(metrics)
    for name in (*FLEET.names, "added later"):
        if name not in FLEET.names:
            metrics.know(name)
            found = scrape(metrics)
        assert found["sluice_route_decisions_total", "routed", name, "best"] == 0
        assert found["sluice_results_total", name, "failed"] == 0
    assert found["sluice_route_decisions_total", "rejected", "", "invalid_json"] == 0
    assert found["sluice_route_decisions_total", "deferred", "", "no_budget"] == 0
    assert found["sluice_route_latency_seconds_count",] == 0


def test_accounts_are_sums_over_partitions(metrics: Metrics) -> None:
    """In units of currency, tenants beside their models; with prices and what waits."""
    found = scrape(metrics)
    assert {
        what: found[f"sluice_budget_{what}", "small", ""]
        for what in ("share", "spent", "reserved", "remaining")
    } == {"share": 3.0, "spent": 0.25, "reserved": 0.4, "remaining": 2.35}
    assert found["sluice_budget_remaining", "small", "shop"] == 3.0
    assert found["sluice_dual_price", "small"] == 2.0
    standing = ("sluice_price_version", "sluice_deferred_waiting", "sluice_partitions")
    assert [found[name,] for name in (*standing, "sluice_index_queries")] == [4, 7, 2, 40]
    assert found["sluice_topic_partitions",] == 3


def test_other_limits_have_series_of_their_own() -> None:
    """Each in its unit; no model's budget counts what a shared limit counts as well."""
    ledger = Ledger(("small", "all", "calls"), np.array([10**9, 2 * 10**9, 60]))
    ledger.limit_tenants(frozenset({account_key("all", "shop")}))
    live = Live(
        [ledger],
        0,
        {"small": 0.0, "all": 3e-9, "calls": 0.25, account_key("all", "shop"): 1e-9},
        1,
        1,
        limits={"all": 4 * 10**9, "calls": 90},
        units={"all": "currency", "calls": "requests"},
        window_ends={"calls": 60},
    )
    found = scrape(Metrics(FLEET.names, lambda: live, lambda: 130.0))
    assert found["sluice_limit_share", "all", "", "currency"] == 2.0
    assert found["sluice_limit_share", "all", "shop", "currency"] == 0.0
    assert found["sluice_limit_share", "calls", "", "requests"] == 60
    assert found["sluice_limit_limit", "calls", "", "requests"] == 90
    assert found["sluice_limit_price", "all", "", "currency"] == 3.0
    assert found["sluice_limit_price", "all", "shop", "currency"] == 1.0
    assert found["sluice_limit_price", "calls", "", "requests"] == 0.25
    assert found["sluice_budget_share", "small", ""] == 1.0
    assert not [key for key in found if key[:2] == ("sluice_budget_share", "all")]


def test_limits_are_those_of_the_whole_deployment(metrics: Metrics) -> None:
    """Whatever part of them is granted here; a window that never ends has no end."""
    found = scrape(metrics)
    assert found["sluice_budget_limit", "small", ""] == 5.0
    assert found["sluice_budget_limit", "small", "shop"] == 3.0
    assert found["sluice_budget_window_end_timestamp_seconds", "small"] == 200
    assert ("sluice_budget_window_end_timestamp_seconds", "large") not in found


def test_pools_are_shown(metrics: Metrics) -> None:
    """What is under way in each, and which of them queries spill from."""
    found = scrape(metrics)
    assert found["sluice_pool_in_flight", "small.short"] == 5
    assert found["sluice_pool_busy", "small.short"] == 1
    assert found["sluice_pool_in_flight", "small.long"] == 0
    assert found["sluice_pool_busy", "small.long"] == 0


def test_a_backlog_is_as_old_as_the_decision_before_it(metrics: Metrics) -> None:
    """Its size is summed, its age the oldest partition's; none is 0 seconds old."""
    assert scrape(metrics)["sluice_route_backlog_age_seconds",] == 0.0
    metrics.decided("queries", [published(receipt(0), 100.0)], 100.0)
    found = scrape(metrics)
    assert found["sluice_route_backlog",] == 12
    assert found["sluice_route_backlog_age_seconds",] == 30.0


@pytest.mark.parametrize(("log", "deferred", "timed"), [("queries", 1, 3), ("deferred", 0, 0)])
def test_decisions_are_counted(metrics: Metrics, log: Log, deferred: int, timed: int) -> None:
    """By what became of them; a query that waits on is not counted at every look, nor is the time
    that it has waited taken for the router's."""
    decisions = [
        published(receipt(0, log=log)),
        published(receipt(1, None, log=log), 99.98),
        published(receipt(2, "large", log=log), 101.0),
    ]
    metrics.decided(log, decisions, 100.0)
    found = scrape(metrics)
    assert found["sluice_route_decisions_total", "routed", "small", ""] == 1
    assert found["sluice_route_decisions_total", "routed", "large", ""] == 1
    assert found.get(("sluice_route_decisions_total", "deferred", "", ""), 0) == deferred
    assert found["sluice_route_latency_seconds_count",] == timed
    assert found["sluice_route_latency_seconds_bucket", "0.01"] == (2 if timed else 0)


def test_results_are_counted(metrics: Metrics) -> None:
    """Settled by model, and what was none."""
    metrics.settled([("small", "ok"), ("small", "ok"), ("large", "failed"), ("", "rejected")])
    found = scrape(metrics)
    results = {key[1:]: value for key, value in found.items() if key[0] == "sluice_results_total"}
    assert results == {
        ("small", "ok"): 2,
        ("small", "failed"): 0,
        ("large", "ok"): 0,
        ("large", "failed"): 1,
        ("", "rejected"): 1,
    }


def test_an_address_that_is_taken(metrics: Metrics) -> None:
    """The caller hears which one; nothing is left running."""
    port = free_port()
    stop = metrics.serve("127.0.0.1", port)
    with pytest.raises(OSError, match=f"in use.*127.0.0.1:{port}"):
        metrics.serve("127.0.0.1", port)
    stop()
