"""What Prometheus would be told."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from streams.brokers.kafka import free_port
from streams.metrics.router import Metrics
from streams.metrics.serve import ServeMetrics
from streams.metrics.worker import WorkMetrics


def exposition(address: str) -> str:
    """The text at HOST:PORT, as an HTTP client reads it."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def samples(address: str) -> list[Sample]:
    """Every sample at HOST:PORT."""
    return parsed(exposition(address))


def parsed(text: str) -> list[Sample]:
    """Every sample of a text."""
    families = text_string_to_metric_families(text)
    return [sample for family in families for sample in family.samples]


def scrape(metrics: Metrics | ServeMetrics | WorkMetrics) -> dict[tuple[str, ...], float]:
    """Every sample by name and label values, as an HTTP client reads them."""
    port = free_port()
    stop = metrics.serve("127.0.0.1", port)
    try:
        found = samples(f"127.0.0.1:{port}")
    finally:
        stop()
    return {(sample.name, *sample.labels.values()): sample.value for sample in found}
