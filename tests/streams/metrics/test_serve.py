"""Metrics of the HTTP front."""

from __future__ import annotations

import httpx

from streams.brokers.kafka import free_port
from streams.metrics.health import Health
from streams.metrics.serve import ServeMetrics
from tests.support.scrape import scrape


def test_requests_are_counted() -> None:
    """By route and status, with their time and those in flight."""
    metrics = ServeMetrics()
    metrics.set_in_flight(lambda: 3)
    metrics.answered("/v1/models", 200, 0.02)
    metrics.answered("/v1/models", 429, 0.001)
    found = scrape(metrics)
    assert found["sluice_serve_requests_total", "/v1/models", "429"] == 1
    assert found["sluice_serve_duration_seconds_count", "/v1/models"] == 2
    assert found["sluice_serve_in_flight",] == 3


def test_probes_tell_how_the_front_is() -> None:
    """It starts, then is as it says."""
    metrics, port = ServeMetrics(), free_port()
    stop = metrics.serve("127.0.0.1", port)
    ready = f"http://127.0.0.1:{port}/readyz"
    assert (httpx.get(ready).status_code, httpx.get(ready).text) == (503, "starting\n")
    metrics.set_health(Health())
    assert httpx.get(ready).status_code == 200
    stop()
