"""`sluice route`: what it needs before it starts."""

from __future__ import annotations

from pathlib import Path

from streams.brokers.embedded import EmbeddedBroker
from tests.support.command import run


def test_a_router_needs_its_topics(config: Path) -> None:
    """It says what is missing and how to make it, before it loads anything."""
    with EmbeddedBroker() as broker:
        code, _, stderr = run("route", "-c", config, broker=broker.servers)
    assert code == 1
    assert stderr.count("is missing") >= 11
    assert "sluice topics create" in stderr
