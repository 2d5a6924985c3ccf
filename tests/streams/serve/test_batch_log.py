"""The topic of batches, read and written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streams.brokers import Broker
from streams.client.errors import ClientError
from streams.config.settings import Config
from streams.serve.batch_log import BatchLog
from tests.support.front import deploy


@pytest.fixture
def config(tmp_path: Path, prefix: str, broker: Broker) -> Config:
    return deploy(tmp_path, prefix, broker)


async def test_what_is_written(config: Config) -> None:
    """A process has read back what it wrote, and catches up with what another wrote; one that
    comes later reads all of it, also after what is no record."""
    found: dict[str, list[tuple[str, bytes | None]]] = {"one": [], "other": [], "later": []}

    def take(name: str, key: str, value: bytes | None) -> None:
        if value == b"{":
            raise msgspec.DecodeError
        found[name].append((key, value))

    one = BatchLog(config, lambda key, value: take("one", key, value))
    other = BatchLog(config, lambda key, value: take("other", key, value))
    later = BatchLog(config, lambda key, value: take("later", key, value))
    await one.open()
    await other.open()
    await one.write("a", b"{")
    await one.write("b", b"1")
    assert found["one"] == [("b", b"1")]
    await other.catch_up()
    assert found["other"] == [("b", b"1")]
    await other.write("b", None)
    await later.open()
    assert found["later"] == [("b", b"1"), ("b", None)]
    for each in (one, other, later):
        await each.close()


async def test_without_the_topic(config: Config) -> None:
    """An older deployment is told what to do."""
    topics = msgspec.structs.replace(config.topics, prefix="nowhere.")
    log = BatchLog(msgspec.structs.replace(config, topics=topics), lambda key, value: None)
    with pytest.raises(ClientError, match="sluice topics create"):
        await log.open()
