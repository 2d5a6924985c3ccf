"""What all Kafka clients have in common, and that there are no others."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from streams.brokers import Broker
from streams.kafka import clients
from tests.support.patience import PATIENCE

STREAMS = Path(__file__).parents[3] / "streams"
MAKERS = {"Consumer", "Producer", "AdminClient", "DeserializingConsumer", "SerializingProducer"}


def test_a_consumer_reads_what_it_is_assigned(broker: Broker, prefix: str) -> None:
    """From the beginning, without a group: the broker knows no offset of it afterwards."""
    topic, connection = f"{prefix}log", {"bootstrap.servers": broker.servers}
    broker.create({topic: 1})
    producer = clients.producer(connection)
    for value in (b"one", b"two"):
        producer.produce(topic, value)
    assert producer.flush(PATIENCE) == 0
    reader = clients.consumer(connection, f"{prefix}test")
    try:
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        found = reader.consume(2, PATIENCE)
        assert [message.value() for message in found] == [b"one", b"two"]
        [place] = reader.committed([TopicPartition(topic, 0)], timeout=PATIENCE)
        assert place.offset < 0
    finally:
        reader.close()
    assert topic in clients.admin(connection).list_topics(timeout=PATIENCE).topics


def test_a_member_of_a_group_commits_by_hand_only(broker: Broker, prefix: str) -> None:
    """It begins at the topic's beginning, and what it has read is not committed by itself."""
    topic, connection = f"{prefix}log", {"bootstrap.servers": broker.servers}
    broker.create({topic: 1})
    producer = clients.producer(connection)
    producer.produce(topic, b"one")
    assert producer.flush(PATIENCE) == 0
    member = clients.group_consumer(connection, f"{prefix}group")
    try:
        member.subscribe([topic])
        [message] = member.consume(1, PATIENCE)
        assert message.value() == b"one"
    finally:
        member.close()
    asked = clients.group_consumer(connection, f"{prefix}group")
    try:
        [place] = asked.committed([TopicPartition(topic, 0)], timeout=PATIENCE)
        assert place.offset < 0
    finally:
        asked.close()


def test_a_caller_s_settings_win() -> None:
    """Over the defaults here: idempotence forbids what one that was turned off allows."""
    connection = {"bootstrap.servers": "127.0.0.1:9", "log_level": 0}
    with pytest.raises(KafkaException, match="acks"):
        clients.producer(connection, settings={"acks": 0})
    clients.producer(connection, settings={"acks": 0, "enable.idempotence": False})


def test_nothing_else_makes_clients() -> None:
    """Every client of the product is made in `streams.kafka.clients`."""
    made = {
        f"{file.relative_to(STREAMS)}:{node.lineno}"
        for file in STREAMS.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("confluent_kafka")
        for alias in node.names
        if alias.name in MAKERS and calls(file, alias.asname or alias.name)
    }
    assert {place.split(":")[0] for place in made} == {"kafka/clients.py"}


def calls(file: Path, name: str) -> bool:
    """Whether a module calls a plain name."""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
        for node in ast.walk(ast.parse(file.read_text()))
    )
