"""Prometheus metrics of the HTTP front."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.kafka.producer import Headers
from streams.metrics.exemplars import exemplar
from streams.metrics.health import Health
from streams.metrics.server import serve

DURATION = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the histogram's buckets, seconds."""


class ServeMetrics:
    """Counts requests by what they were answered with."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._health = Health(ready=lambda: ["starting"])
        self._requests = Counter(
            "sluice_serve_requests_total",
            "Requests that were answered, by route and HTTP status.",
            ("route", "status"),
            registry=registry,
        )
        self._duration = Histogram(
            "sluice_serve_duration_seconds",
            "From a request's arrival to its answer.",
            ("route",),
            buckets=DURATION,
            registry=registry,
        )
        self._in_flight = Gauge(
            "sluice_serve_in_flight", "Requests that wait for an answer.", registry=registry
        )

    def set_in_flight(self, count: Callable[[], int]) -> None:
        """Export a count. count: called at every scrape."""
        self._in_flight.set_function(count)

    def answered(self, route: str, status: int, seconds: float, headers: Headers = ()) -> None:
        """Count one request. headers: the trace's."""
        self._requests.labels(route, str(status)).inc()
        self._duration.labels(route).observe(seconds, exemplar(headers))

    def set_health(self, health: Health) -> None:
        """Tell the probes how the process is, once it has started."""
        self._health = health

    def serve(self, host: str, port: int) -> Callable[[], None]:
        """Serve metrics and probes over HTTP; see `streams.metrics.server.serve`."""
        now = Health(lambda: self._health.alive(), lambda: self._health.ready())
        return serve(self._registry, host, port, now)
