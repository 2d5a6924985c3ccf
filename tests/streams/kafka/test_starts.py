"""Calls that have begun, as `starts` tells them, on both brokers."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from schemas import Start, encode
from streams.brokers import Broker
from streams.config.settings import Broker as Configured
from streams.kafka.logs import LogError, Logs
from streams.kafka.starts import SKEW, StartLog

NOW = 1_700_000_000.0
HOLD = 600.0


class Clocked:
    """A topic of two partitions, a log of it, and the log's clock."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.now = NOW
        self.topic = topic
        self.producer = Producer({"bootstrap.servers": broker.servers, "log_level": 0})
        logs = Logs(Configured(servers=broker.servers))
        self.log = StartLog(logs, topic, HOLD, lambda: self.now)

    def begin(
        self, decision: str, at: float = NOW, partition: int = 0, returned: bool = False
    ) -> None:
        value = encode(Start(id="q", decision_id=decision, model="m", returned=returned))
        self.send(value, at, partition)

    def send(self, value: bytes, at: float = NOW, partition: int = 0) -> None:
        self.producer.produce(self.topic, value, b"q", partition, timestamp=int(at * 1000))
        assert self.producer.flush(10) == 0

    def begun(self, *decisions: str, since: float = NOW, until: float = NOW) -> list[bool]:
        found = self.log.decisions(0, since, until).begun
        return [decision in found for decision in decisions]


@pytest.fixture
def clocked(broker: Broker, prefix: str) -> Clocked:
    broker.create({f"{prefix}starts": 2})
    return Clocked(broker, f"{prefix}starts")


def test_what_has_begun_is_known(clocked: Clocked) -> None:
    """Of its partition, also what comes between two looks; what cannot be read is passed over."""
    assert clocked.begun("a") == [False]
    clocked.begin("a")
    clocked.begin("b", partition=1)
    clocked.send(b"no start")
    clocked.begin("c")
    assert clocked.begun("a", "b", "c") == [True, False, True]
    clocked.begin("d")
    assert clocked.begun("a", "c", "d") == [True, True, True]


def test_what_was_given_back_has_not_begun(clocked: Clocked) -> None:
    """The last word on a decision counts."""
    for returned in (False, True):
        clocked.begin("a", returned=returned)
        clocked.begin("b", returned=not returned)
    assert clocked.begun("a", "b") == [False, True]
    assert set(clocked.log.decisions(0, NOW, NOW).returned) == {"a"}


def test_nothing_is_read_again_for_a_moment_that_has_been_seen(clocked: Clocked) -> None:
    """Of what should have begun long before the last look."""
    clocked.now = NOW + SKEW + 1
    assert clocked.begun("a") == [False]
    clocked.begin("a")
    assert clocked.begun("a") == [False]
    assert clocked.begun("a", until=NOW + 2) == [True]


def test_what_is_old_is_forgotten_and_found_again(clocked: Clocked) -> None:
    """Memory is bounded by the time that questions are about."""
    clocked.begin("old", NOW)
    later = NOW + HOLD + SKEW + 10
    clocked.begin("new", later)
    assert clocked.begun("old", "new") == [True, True]
    assert clocked.begun("old", "new", since=later + 5) == [False, True]
    assert clocked.begun("old", "new", since=NOW, until=later) == [True, True]


def test_a_missing_topic_is_an_error(clocked: Clocked) -> None:
    """Nobody knows then what has begun."""
    log = StartLog(clocked.log._logs, f"{clocked.topic}-not-there", HOLD)
    with pytest.raises(LogError, match="sluice topics create"):
        log.decisions(0, NOW, NOW)


def test_questions_that_were_asked_together_are_answered_by_one_reading(clocked: Clocked) -> None:
    """A reading answers all that were asked before it began, and none that were asked later."""
    asked = clocked.now
    clocked.now += 1
    assert clocked.begun("a") == [False]
    clocked.begin("a")
    assert "a" not in clocked.log.decisions(0, NOW, NOW, asked).begun
    assert "a" in clocked.log.decisions(0, NOW, NOW, clocked.now).begun
