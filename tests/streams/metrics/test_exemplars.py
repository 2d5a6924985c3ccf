"""Traces beside the buckets of histograms."""

from __future__ import annotations

import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from schemas.result import Result
from streams.brokers.kafka import free_port
from streams.metrics.exemplars import exemplar
from streams.metrics.router import Live, Metrics, Published
from streams.metrics.serve import ServeMetrics
from streams.metrics.worker import WorkMetrics
from tests.support.recorded import receipt
from tests.support.traces import PARENT, TRACE

HEADERS = [("traceparent", PARENT.encode())]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([("x", b"1")], None),
        (HEADERS, {"trace_id": TRACE}),
        ([("traceparent", PARENT.encode()[:-1] + b"0")], None),
    ],
    ids=["none", "other", "sampled", "unsampled"],
)
def test_the_trace_of_an_observation(
    headers: list[tuple[str, bytes]], expected: dict[str, str] | None
) -> None:
    """Only one that somebody keeps can be looked up."""
    assert exemplar(headers) == expected


def router() -> Metrics:
    metrics = Metrics(["small"], lambda: Live([], 0, {}, 0, 0))
    metrics.decided("queries", [Published(100_000, receipt(0), HEADERS)], 100.02)
    return metrics


def worker() -> WorkMetrics:
    metrics = WorkMetrics()
    metrics.add_model("small", lambda: 0)
    result = Result(id="a", decision_id="d", model="small", status_code=200, cost=1, duration=2.0)
    metrics.answered(result, HEADERS)
    return metrics


def front() -> ServeMetrics:
    metrics = ServeMetrics()
    metrics.answered("/v1/models", 200, 0.02, HEADERS)
    return metrics


@pytest.mark.parametrize(
    ("metrics", "name"),
    [
        (router(), "sluice_route_latency_seconds"),
        (worker(), "sluice_work_duration_seconds"),
        (front(), "sluice_serve_duration_seconds"),
    ],
    ids=["router", "worker", "serve"],
)
def test_openmetrics_has_them(metrics: Metrics | WorkMetrics | ServeMetrics, name: str) -> None:
    """The whole exposition is well-formed; who does not ask for that format gets the old one."""
    port = free_port()
    stop = metrics.serve("127.0.0.1", port)
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        asked = urllib.request.Request(url, headers={"Accept": OPENMETRICS})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            families = list(text_string_to_metric_families(answer.read().decode()))  # type: ignore[no-untyped-call]  # no types
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert TRACE not in answer.read().decode()
    finally:
        stop()
    (family,) = [each for each in families if each.name == name]
    found = [sample.exemplar for sample in family.samples if sample.exemplar]
    assert [each.labels for each in found] == [{"trace_id": TRACE}]
