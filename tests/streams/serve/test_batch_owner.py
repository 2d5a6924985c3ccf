"""One process of many runs batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from streams.brokers import Broker
from streams.kafka.topics import Topics
from streams.serve.batch_owner import BatchOwner
from tests.support.front import deploy
from tests.support.patience import PATIENCE


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_one_of_two(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """Exactly one holds the topic; when it leaves, the other does."""
    config = deploy(tmp_path, prefix, broker)
    topic = Topics(config.topics.prefix).batches
    one, other = [BatchOwner({"bootstrap.servers": broker.servers}, topic) for _ in range(2)]
    one.open()
    until(lambda: one.held)
    other.open()
    first, second = one, other
    until(lambda: one.held != other.held)
    if other.held:
        first, second = other, one
    first.close()
    until(lambda: second.held)
    second.close()
