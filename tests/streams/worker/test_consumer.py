"""A member of a worker group: fetches, commits, gives partitions back, and tells what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any
from unittest.mock import Mock, patch

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from streams.kafka import clients, topic_ids
from streams.worker import consumer as module
from streams.worker.consumer import NON_RETRIABLE, Offsets, WorkerConsumer, WorkerError
from tests.support.faulty_broker import FaultyBroker, Request
from tests.support.patience import PATIENCE


class Member:
    """A consumer of a topic with one partition, and what it was told."""

    def __init__(self, broker: Broker, prefix: str, servers: str | None = None) -> None:
        self.connection = {"bootstrap.servers": broker.servers, "log_level": 0}
        self.topic = f"{prefix}routed.m"
        self.revoked: list[set[int]] = []
        self.due: Offsets = {}
        self.stop = asyncio.Event()
        quick = isinstance(broker, EmbeddedBroker)
        self.consumer = WorkerConsumer(
            servers or broker.servers,
            {"session.timeout.ms": 2000 if quick else 6000, "heartbeat.interval.ms": 300},
            self.topic,
            self.topic,
            self.revoke,
            self.lose,
        )

    async def revoke(self, partitions: Iterable[int]) -> Offsets:
        self.revoked.append(set(partitions))
        return self.due

    async def lose(self, partitions: Iterable[int]) -> None:
        self.revoked.append(set(partitions))

    def send(self, *values: bytes) -> None:
        producer = clients.producer(self.connection)
        for value in values:
            producer.produce(self.topic, value)
        assert producer.flush(PATIENCE) == 0

    async def read(self, count: int) -> list[Any]:
        """Fetch until there are so many records."""
        found: list[Any] = []
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                found += await self.consumer.fetch(count - len(found), 0.2)
        return found

    async def committed(self) -> int:
        client = clients.group_consumer(self.connection, self.topic)
        try:
            asked = [TopicPartition(self.topic, 0)]
            [place] = await asyncio.to_thread(client.committed, asked, timeout=PATIENCE)
            return int(place.offset)
        finally:
            client.close()


@pytest.fixture
async def member(broker: Broker, prefix: str) -> AsyncIterator[Member]:
    broker.create({f"{prefix}routed.m": 1})
    made = Member(broker, prefix)
    yield made
    await made.consumer.close()


async def test_records_come_in_order_from_the_beginning(member: Member) -> None:
    """No fetch brings more than it was asked for."""
    member.send(b"a", b"b", b"c")
    await member.consumer.open(member.stop)
    [first] = await member.read(1)
    rest = await member.read(2)
    assert [each.value() for each in (first, *rest)] == [b"a", b"b", b"c"]


async def test_only_what_is_told_is_committed(member: Member) -> None:
    """Reading commits nothing; an empty commit asks nobody."""
    member.send(b"a", b"b")
    await member.consumer.open(member.stop)
    await member.read(2)
    await member.consumer.commit({})
    assert await member.committed() < 0
    await member.consumer.commit({0: 1})
    assert await member.committed() == 1


async def test_while_paused_nothing_comes(member: Member) -> None:
    """And everything comes afterwards."""
    member.send(b"a")
    await member.consumer.open(member.stop)
    await member.read(1)
    member.consumer.pause()
    member.send(b"b")
    assert await member.consumer.fetch(1, 0.5) == []
    member.consumer.resume()
    [record] = await member.read(1)
    assert record.value() == b"b"


@pytest.mark.kafka
async def test_leaving_commits_what_is_due(kafka_broker: Broker, prefix: str) -> None:
    """The owner is asked for it before the partition goes to another member."""
    kafka_broker.create({f"{prefix}routed.m": 1})
    member = Member(kafka_broker, prefix)
    member.send(b"a", b"b")
    await member.consumer.open(member.stop)
    await member.read(2)
    member.due = {0: 2}
    await member.consumer.close()
    assert member.revoked == [{0}]
    assert await member.committed() == 2


@pytest.mark.kafka
async def test_offsets_of_a_topic_that_was_deleted_are_void(
    kafka_broker: Broker, prefix: str
) -> None:
    """What stands with another id is read from the beginning; with the same, or none, it is not."""
    kafka_broker.create({f"{prefix}routed.m": 1})

    async def life(id: str, *values: bytes) -> list[bytes]:
        """Read as many records as are expected, and commit behind the last one."""
        member = Member(kafka_broker, prefix)
        with patch.object(topic_ids, "read_ids", Mock(return_value={member.topic: id})):
            await member.consumer.open(member.stop)
        found = await member.read(len(values))
        await member.consumer.commit({0: found[-1].offset() + 1})
        await member.consumer.close()
        return [each.value() for each in found]

    other = Member(kafka_broker, prefix)
    other.send(b"a", b"b")
    assert await life("", b"a", b"b") == [b"a", b"b"]
    other.send(b"c")
    assert await life("first", b"c") == [b"c"]
    other.send(b"d")
    assert await life("first", b"d") == [b"d"]
    assert await life("second", b"a") == [b"a"]
    await other.consumer.close()


async def test_a_topic_that_is_not_there(embedded_broker: FaultyBroker, prefix: str) -> None:
    """The error names the topic, and the command that makes it."""
    member = Member(embedded_broker, prefix)
    with pytest.raises(WorkerError, match=rf"no topic {member.topic}; .*sluice topics create"):
        await member.consumer.open(member.stop)
    embedded_broker.create({member.topic: 1})
    with pytest.raises(WorkerError, match=r"no topic other; .*sluice topics create"):
        await member.consumer.open(member.stop, ("other",))
    await member.consumer.close()


async def test_a_broker_that_is_not_there(
    embedded_broker: FaultyBroker, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so long an error says which address was tried."""
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    member = Member(embedded_broker, prefix, servers="127.0.0.1:9")
    with pytest.raises(WorkerError, match=r"no broker at 127\.0\.0\.1:9 answers"):
        await member.consumer.open(member.stop)
    await member.consumer.close()


async def test_what_no_waiting_mends_is_raised(embedded_broker: FaultyBroker, prefix: str) -> None:
    """A topic that may not be read ends the worker at once."""
    embedded_broker.create({f"{prefix}routed.m": 1})
    member = Member(embedded_broker, prefix)
    assert KafkaError.GROUP_AUTHORIZATION_FAILED in NON_RETRIABLE
    embedded_broker.fail(Request.JOIN_GROUP, KafkaError.GROUP_AUTHORIZATION_FAILED, 20)
    try:
        await member.consumer.open(member.stop)
        with pytest.raises(WorkerError, match=r"[Aa]uthorization"):
            await member.read(1)
    finally:
        embedded_broker.heal(Request.JOIN_GROUP)
        await member.consumer.close()
