"""What must hold of the outbox: `delivered` returns when the broker has it all, and never lies."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.brokers import Broker
from streams.brokers.kafka import KafkaServer
from streams.kafka.producer import Outbox
from streams.kafka.topics import LARGEST_MESSAGE, Topics, create
from tests.support.faulty_broker import FaultyBroker, Request
from tests.support.records import Record, Records


@pytest.fixture
def topic(broker: Broker, prefix: str) -> str:
    broker.create({f"{prefix}out": 2})
    return f"{prefix}out"


@pytest.fixture
def outbox(broker: Broker) -> Iterator[Outbox]:
    made = Outbox(broker.servers, {"delivery.timeout.ms": 10_000})
    yield made
    made.close()


def read(broker: Broker, topic: str, partitions: int = 2) -> list[Record]:
    records = Records(broker.servers, {topic: partitions})
    try:
        return list(records.of(topic))
    finally:
        records.close()


async def test_delivered_means_acknowledged(broker: Broker, topic: str, outbox: Outbox) -> None:
    """After `delivered` every record is in its topic, with key, partition and headers; the offset
    returned is that of the last one."""
    batch = outbox.batch()
    for number in range(100):
        batch.send(topic, b"%d" % number, b"key", 1, [("a", b"b")])
    assert await batch.delivered() == 99
    found = read(broker, topic)
    assert [r.value for r in found] == [b"%d" % number for number in range(100)]
    assert {(r.partition, r.key, r.headers["a"]) for r in found} == {(1, b"key", b"b")}


async def test_batches_keep_their_order(broker: Broker, topic: str, outbox: Outbox) -> None:
    """Records of one partition lie in the order of `send`, over batches that overlap."""
    first, second = outbox.batch(), outbox.batch()
    for number in range(0, 200, 2):
        first.send(topic, b"%d" % number, partition=0)
        second.send(topic, b"%d" % (number + 1), partition=0)
    await second.delivered()
    await first.delivered()
    assert [int(r.value or b"") for r in read(broker, topic)] == list(range(200))


async def test_an_empty_batch_is_delivered_at_once(outbox: Outbox) -> None:
    """There is nothing to wait for, and no last offset."""
    assert await outbox.batch().delivered() == -1


async def test_a_removal_is_a_record_without_value(
    broker: Broker, topic: str, outbox: Outbox
) -> None:
    """A changelog row is removed by a record of its key and no value."""
    batch = outbox.batch()
    batch.send(topic, None, b"row", 0)
    await batch.delivered()
    assert [(r.key, r.value) for r in read(broker, topic)] == [(b"row", None)]


async def test_one_refused_record_fails_its_batch(
    embedded_broker: FaultyBroker, prefix: str
) -> None:
    """Whatever the broker refuses raises, also when the rest of the batch was taken; the next
    batch is judged for itself."""
    topic = f"{prefix}out"
    embedded_broker.create({topic: 1})
    outbox = Outbox(embedded_broker.servers, {"enable.idempotence": False})
    embedded_broker.fail(Request.PRODUCE, KafkaError.INVALID_RECORD)
    try:
        batch = outbox.batch()
        batch.send(topic, b"1", partition=0)
        with pytest.raises(KafkaException) as raised:
            await batch.delivered()
        assert raised.value.args[0].code() == KafkaError.INVALID_RECORD
        batch = outbox.batch()
        batch.send(topic, b"2", partition=0)
        assert await batch.delivered() >= 0
    finally:
        embedded_broker.heal(Request.PRODUCE)
        outbox.close()


async def test_a_broker_that_is_gone_fails_in_bounded_time() -> None:
    """No acknowledgement by the delivery timeout is an error, not a wait for ever."""
    with FaultyBroker({"out": 1}) as broker:
        outbox = Outbox(broker.servers, {"delivery.timeout.ms": 4000, "linger.ms": 0})
        batch = outbox.batch()
        batch.send("out", b"1", partition=0)
        await batch.delivered()
        broker.down()
        batch = outbox.batch()
        batch.send("out", b"2", partition=0)
        with pytest.raises(KafkaException):
            await batch.delivered()
        outbox.close(timeout=1.0)


@pytest.mark.kafka
async def test_the_largest_message_is_taken(kafka_broker: KafkaServer, prefix: str) -> None:
    """What is made of the largest query fits through producer and topic, compressible or not."""
    topics = Topics(prefix)
    planned = [t for t in topics.planned([], 1, 1) if t.name == topics.rejected]
    create(AdminClient({"bootstrap.servers": kafka_broker.servers}), planned)
    outbox = Outbox(kafka_broker.servers)
    batch = outbox.batch()
    batch.send(topics.rejected, Random(0).randbytes(LARGEST_MESSAGE - 1000))
    assert await batch.delivered() == 0
    outbox.close()
