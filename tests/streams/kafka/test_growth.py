"""Partitions that are added: by whom, in which order, and how clients come to know them."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer
from streams.kafka import clients
from streams.kafka.added_partitions import AddedPartitions
from streams.kafka.errors import BrokerError
from streams.kafka.growth import grow
from streams.kafka.producer import Outbox
from streams.kafka.topics import Topics, TopicsError, create, partition_counts, uneven
from tests.support.patience import PATIENCE


@pytest.mark.kafka
class TestOnKafka:
    async def test_shared_topics_grow_and_clients_follow(
        self, kafka_broker: KafkaServer, prefix: str
    ) -> None:
        """Queries last; those that others have grown stay; again nothing happens. A producer and a
        consumer that were there before use the new partitions."""
        admin, topics = AdminClient({"bootstrap.servers": kafka_broker.servers}), Topics(prefix)
        planned = topics.planned(["m"], partitions=1)
        create(admin, planned)
        outbox = Outbox(kafka_broker.servers)
        consumer = clients.consumer({"bootstrap.servers": kafka_broker.servers}, "test")
        place = TopicPartition(topics.results, 0, 0)
        consumer.assign([place])
        added = AddedPartitions(consumer, [place], every=0.0)
        try:
            before = outbox.batch()
            before.send(topics.results, b"old", partition=0)
            await before.delivered()

            assert grow(admin, planned, topics.queries, 2)[-1] == topics.queries
            assert grow(admin, planned, topics.queries, 2) == []
            counts = partition_counts(admin)
            assert all(counts[t.name] == (2 if t.shared else t.partitions) for t in planned)
            assert uneven(planned, counts) is None
            assert create(admin, planned) == []

            after = outbox.batch()
            after.send(topics.results, b"new", partition=1)
            await after.delivered()
            added.look()
            found: set[object] = set()
            while len(found) < 2:
                message = consumer.poll(PATIENCE)
                assert message is not None
                found.add(message.value())
            assert found == {b"old", b"new"}
            assert added.counts == {topics.results: 2}
        finally:
            consumer.close()
            outbox.close()

    def test_it_never_shrinks(self, kafka_broker: KafkaServer, prefix: str) -> None:
        """One topic has more already, or is missing: nothing grows."""
        admin, topics = AdminClient({"bootstrap.servers": kafka_broker.servers}), Topics(prefix)
        planned = topics.planned([], partitions=1)
        with pytest.raises(TopicsError, match="there is no topic"):
            grow(admin, planned, topics.queries, 2)
        create(admin, [topic for topic in planned if topic.name != topics.results])
        kafka_broker.create({topics.results: 3})
        with pytest.raises(TopicsError, match=r"results' has 3 partitions already, more than 2"):
            grow(admin, planned, topics.queries, 2)
        assert partition_counts(admin)[topics.queries] == 1


def test_an_embedded_broker_cannot_grow() -> None:
    """It has no such request, and says so."""
    with EmbeddedBroker({"queries": 1}) as broker:
        admin = AdminClient({"bootstrap.servers": broker.servers, "log_level": 0})
        with pytest.raises(BrokerError, match="only the partitions that it was started with"):
            grow(admin, Topics().planned([]), "queries", 2)
