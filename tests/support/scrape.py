"""What Prometheus would be told."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


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
