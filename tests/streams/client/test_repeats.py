"""Ids that are sent again on purpose: which have failed for good, and which end no more."""

from __future__ import annotations

import pytest

from schemas import Result
from streams.brokers.embedded import EmbeddedBroker
from streams.client.repeats import MOST, Repeats
from streams.config.connection import Broker
from streams.kafka import clients
from streams.kafka.logs import LogError

NOW = 1_800_000_000.0


def result(decision: str, status: int) -> Result:
    return Result(id="q", decision_id=decision, model="m", status_code=status)


def repeats(attempts: int = 0, servers: str = "127.0.0.1:1") -> Repeats:
    return Repeats(Broker(servers=servers), attempts, lambda: NOW)


def test_what_has_failed() -> None:
    """The decision on the first query counts; another one is under way."""
    known = repeats()
    assert not known.has_failed(b"q", "queries/0/1")
    known.note(b"q", result("queries/0/1", 400))
    assert known.has_failed(b"q", "queries/0/1")
    assert not known.has_failed(b"q", "queries/0/2")
    assert not known.has_failed(b"r", "queries/0/1")
    known.note(b"q", result("queries/0/2", 200))
    assert not known.has_failed(b"q", "queries/0/1")


def test_what_goes_to_another_model() -> None:
    """A failure is the last word only where no other model is asked after it."""
    known = repeats(attempts=1)
    known.note(b"q", result("queries/0/1", 503))
    assert not known.has_failed(b"q", "queries/0/1")
    known.note(b"q", result("deferred/0/5", 503))
    assert known.has_failed(b"q", "queries/0/1")


def test_old_failures_are_forgotten() -> None:
    """The memory is bounded."""
    known = repeats()
    for number in range(MOST + 1):
        known.note(b"%d" % number, result("queries/0/1", 400))
    assert not known.has_failed(b"0", "queries/0/1")
    assert known.has_failed(b"1", "queries/0/1")


def test_what_is_over(embedded_broker: EmbeddedBroker, prefix: str) -> None:
    """A query whose deadline is long past, or that retention has removed, ends no more."""
    topic = f"{prefix}queries"
    embedded_broker.create({topic: 1})
    producer = clients.producer({"bootstrap.servers": embedded_broker.servers}, 10.0, {})
    for deadline in (NOW - 100, NOW - 1, NOW + 100):
        producer.produce(topic, b'{"id":"q","prompt":"?","deadline":%d}' % int(deadline), b"q")
    producer.produce(topic, b'{"id":"q","prompt":"?"}', b"q")
    producer.produce(topic, b"no query", b"q")
    producer.flush(10)
    known = repeats(servers=embedded_broker.servers)
    found = [known.is_over(f"{topic}/0/{offset}") for offset in range(6)]
    assert found == [True, False, False, False, True, True]
    assert not known.is_over("None")
    with pytest.raises(LogError, match="nowhere"):
        known.is_over(f"{prefix}nowhere/0/0")
