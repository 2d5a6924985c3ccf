"""The HTTP server of metrics: its paths."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from streams.brokers.kafka import free_port
from streams.metrics.health import Health
from streams.metrics.server import serve


@pytest.fixture
def address() -> Iterator[str]:
    """Where a registry with one gauge is served."""
    registry = CollectorRegistry()
    Gauge("height", "Of a thing.", registry=registry).set(2)
    port = free_port()
    stop = serve(registry, "127.0.0.1", port)
    yield f"http://127.0.0.1:{port}"
    stop()


def get(url: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("path", ["/metrics", "/metrics?name[]=height"])
def test_metrics_have_one_path(address: str, path: str) -> None:
    """With or without a choice of names."""
    status, body = get(address + path)
    assert status == 200
    assert "height 2.0" in body


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_answered(address: str, path: str) -> None:
    """Kubernetes asks there."""
    assert get(address + path) == (200, "ok\n")


def test_probes_say_what_is_wrong() -> None:
    """503 and a line for each reason; a process that is not ready may well be alive."""
    port = free_port()
    health = Health(ready=lambda: ["one thing", "another"])
    stop = serve(CollectorRegistry(), "127.0.0.1", port, health)
    assert get(f"http://127.0.0.1:{port}/readyz") == (503, "one thing\nanother\n")
    assert get(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n")
    stop()


@pytest.mark.parametrize(
    "path", ["/", "/metric", "/metrics/", "/metrics/x", "/favicon.ico", "/v1/chat/completions"]
)
def test_other_paths_are_not_found(address: str, path: str) -> None:
    """Nothing is 200 that nobody made."""
    status, body = get(address + path)
    assert status == 404
    assert "/metrics" in body
