"""What must hold of the look for added partitions: in time, once each, and never in the way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.kafka.added_partitions import AddedPartitions


class Consumer:
    """Says how many partitions there are, and keeps what it is assigned."""

    def __init__(self, **counts: int) -> None:
        self.counts = counts
        self.away = False
        self.assigned: list[tuple[str, int, int]] = []

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        known = SimpleNamespace(partitions=dict.fromkeys(range(self.counts[topic])))
        return SimpleNamespace(topics={topic: known})

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.assigned += [(place.topic, place.partition, place.offset) for place in places]


def test_each_is_assigned_once_from_its_first_record() -> None:
    """When a look is due, and again after a broker was away."""
    consumer: Any = Consumer(a=1, b=2)
    now = 0.0
    places = [TopicPartition("a", 0), TopicPartition("b", 0), TopicPartition("b", 1)]
    added = AddedPartitions(consumer, places, every=5.0, clock=lambda: now)
    consumer.counts["b"] = 4
    added.look()
    assert consumer.assigned == []
    now, consumer.away = 5.0, True
    added.look()
    assert consumer.assigned == []
    consumer.away = False
    for moment in (10.0, 15.0):
        now = moment
        added.look()
        assert consumer.assigned == [("b", 2, 0), ("b", 3, 0)]
    assert added.counts == {"a": 1, "b": 4}
