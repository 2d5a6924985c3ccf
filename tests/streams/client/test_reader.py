"""Reading of answers: from the moment of the start, and only what is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic

from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from streams.client.errors import ClientError
from streams.client.reader import AnswerReader
from streams.kafka.admin import make
from streams.kafka.clients import admin
from streams.kafka.logs import Record


async def test_from_now_on(broker: Broker, prefix: str) -> None:
    """What was there before is not seen; what is sent right after the start is, where wanted."""
    topic = f"{prefix}results"
    connection = {"bootstrap.servers": broker.servers}
    if isinstance(broker, EmbeddedBroker):
        broker.create({topic: 2})
    else:
        make(admin(connection), [NewTopic(topic, 2, replication_factor=1)])
    producer = Producer(connection)

    def send(*keys: str) -> None:
        for key in keys:
            producer.produce(topic, key, key)
        producer.flush(10)

    seen: list[bytes | None] = []
    all_there = asyncio.Event()

    def handle(records: Sequence[Record]) -> None:
        seen.extend(record.key for record in records)
        if b"end" in seen:
            all_there.set()

    send("a1", "b1")
    wanted = lambda key: not key.startswith(b"b")  # noqa: E731
    reader = AnswerReader(connection, [topic], wanted, handle)
    try:
        send("a2", "b2", "end")
        await asyncio.wait_for(all_there.wait(), 30)
        assert set(seen) >= {b"end"}
        assert b"a1" not in seen
        assert b"b2" not in seen
        assert reader.failure is None
    finally:
        reader.close()


async def test_a_missing_topic(embedded_broker: EmbeddedBroker, prefix: str) -> None:
    """A topic that is not there is an error at the start."""
    connection = {"bootstrap.servers": embedded_broker.servers}
    with pytest.raises(ClientError, match="missing"):
        AnswerReader(connection, [f"{prefix}missing"], lambda key: True, lambda records: None)
