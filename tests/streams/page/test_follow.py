"""The topics of a deployment reach its view."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from schemas.wire import encode
from streams.brokers.embedded import EmbeddedBroker
from streams.kafka import clients
from streams.kafka.topics import Topics
from streams.page import follow
from streams.page.follow import TopicReader
from streams.page.view import View
from tests.support.decisions import receipt, report, result
from tests.support.front import deploy
from tests.support.patience import PATIENCE


def test_everything_is_read(embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str) -> None:
    """Receipts, results and reports; what is no message is passed over."""
    config = deploy(tmp_path, prefix, embedded_broker)
    topics, view = Topics(prefix), View(config, config.amounts())
    reader = TopicReader(config, view)
    reader.start()
    producer = clients.producer({"bootstrap.servers": embedded_broker.servers})
    for topic, value in (
        (topics.receipts, b"no receipt"),
        (topics.receipts, encode(receipt(1))),
        (topics.results, encode(result(1))),
        (topics.share_reports, encode(report())),
        (topics.queries, b"{}"),
    ):
        producer.produce(topic, value, partition=0)
    producer.flush(PATIENCE)
    _wait(lambda: reader.failure is None and bool(view.state(0)["owned"]), "a report")
    _wait(lambda: view.timeline.recent(0).sums.get("answered") == 1, "an answer")
    reader.close()


def test_a_broker_that_is_away_is_told(
    tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And looked for again."""
    monkeypatch.setattr(follow, "ANSWER", 0.3)
    config = deploy(tmp_path, prefix, embedded_broker)
    away = structs.replace(config, broker=structs.replace(config.broker, servers="127.0.0.1:1"))
    reader = TopicReader(away, View(away, away.amounts()))
    reader.start()
    _wait(lambda: "no broker" in (reader.failure or ""), "the failure")
    reader.close()


def _wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"waited for {what}"
        time.sleep(0.05)
