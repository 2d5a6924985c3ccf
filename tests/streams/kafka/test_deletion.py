"""Deleting topics, and the groups that read nothing else."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewTopic

from streams.brokers.kafka import KafkaServer
from streams.kafka import clients
from streams.kafka.admin import make
from streams.kafka.deletion import delete_topics, deployed
from streams.kafka.groups import commit, groups_of
from streams.kafka.topics import Topic, partition_counts
from tests.support.patience import PATIENCE


@pytest.mark.kafka
def test_topics_are_deleted_with_their_groups(kafka_broker: KafkaServer, prefix: str) -> None:
    """Of the deployment's topics, also of models that nobody knows; groups of others stay."""
    connection = {"bootstrap.servers": kafka_broker.servers}
    admin = clients.admin(connection)
    names = [f"{prefix}{name}" for name in ("queries", "routed.gone", "orders")]
    make(admin, [NewTopic(name, 1, replication_factor=1) for name in names])
    commit(admin, {f"{prefix}a": {names[0]: {0: 0}}, f"{prefix}b": {names[2]: {0: 0}}})
    planned = [Topic(names[0], 1), Topic(f"{prefix}missing", 1)]
    found = deployed(admin, planned, f"{prefix}routed.")
    assert found == names[:2]
    delete_topics(admin, found, groups_of(admin, found))
    assert {name for name in partition_counts(admin) if name.startswith(prefix)} == {names[2]}
    assert {group.name for group in groups_of(admin, names)} == {f"{prefix}b"}
    delete_topics(admin, found, [])
    consumer = clients.group_consumer(connection, f"{prefix}a")
    [place] = consumer.committed([TopicPartition(names[0], 0)], timeout=PATIENCE)
    consumer.close()
    assert place.offset < 0
