"""Making topics: what is there afterwards, and what is refused."""

from __future__ import annotations

import pytest
from confluent_kafka.cimpl import NewTopic

from streams.brokers import Broker
from streams.kafka import clients
from streams.kafka.admin import is_embedded, make
from streams.kafka.errors import BrokerError


def order(name: str, partitions: int = 2) -> NewTopic:
    return NewTopic(name, partitions, replication_factor=1)


@pytest.mark.kafka
def test_topics_have_leaders_when_they_are_made(kafka_broker: Broker, prefix: str) -> None:
    """All partitions can be used at once."""
    admin = clients.admin({"bootstrap.servers": kafka_broker.servers})
    make(admin, [order(f"{prefix}a"), order(f"{prefix}b", 3)])
    topics = admin.list_topics(timeout=10).topics
    counts = {name: len(topics[f"{prefix}{name}"].partitions) for name in "ab"}
    assert counts == {"a": 2, "b": 3}
    for name in "ab":
        assert all(each.leader >= 0 for each in topics[f"{prefix}{name}"].partitions.values())


@pytest.mark.kafka
def test_a_topic_that_is_there_already(kafka_broker: Broker, prefix: str) -> None:
    """It is an error that names the topic, unless finding it is as good as making it."""
    admin = clients.admin({"bootstrap.servers": kafka_broker.servers})
    make(admin, [order(f"{prefix}a")])
    with pytest.raises(BrokerError, match=f"cannot make topic '{prefix}a'"):
        make(admin, [order(f"{prefix}a")])
    make(admin, [order(f"{prefix}a"), order(f"{prefix}b")], or_find=True)
    assert f"{prefix}b" in admin.list_topics(timeout=10).topics


@pytest.mark.kafka
def test_a_real_broker_is_none_of_ours(kafka_broker: Broker) -> None:
    """It tells its settings and takes orders."""
    assert not is_embedded(clients.admin({"bootstrap.servers": kafka_broker.servers}))


def test_an_embedded_broker_takes_no_orders(embedded_broker: Broker, prefix: str) -> None:
    """It would leave the request without an answer: the error comes before it is asked."""
    admin = clients.admin({"bootstrap.servers": embedded_broker.servers})
    assert is_embedded(admin)
    with pytest.raises(BrokerError, match="only the topics that it was started with"):
        make(admin, [order(f"{prefix}a")])


def test_no_orders_ask_nobody() -> None:
    """Nothing is sent where there is nothing to make."""
    make(clients.admin({"bootstrap.servers": "127.0.0.1:9"}), [])
