"""Where a group of workers has come to in its topic, as far as the offsets are of this topic.

Kafka forgets a topic's offsets when it is deleted. A worker that has not noticed yet may commit its
own once more, into what the group knows of the topic that is made in its place: so the id of the
topic stands with each offset that is committed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from streams.kafka.admin import ANSWER, TIMEOUT
from streams.kafka.waiting import until_answered

logger = logging.getLogger(__name__)


class Positions:
    """Makes and reads the committed offsets of a topic."""

    def __init__(self, topic: str) -> None:
        """topic: its name."""
        self.topic = topic
        self.topic_id = ""
        """Of the topic's present life; empty where the broker tells none."""

    def to_commit(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        """Return what to commit. offsets: by partition, the one to resume from."""
        return [
            TopicPartition(self.topic, number, offset, metadata=self.topic_id)
            for number, offset in offsets.items()
        ]

    def assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Begin where the group has come to; at the beginning where that was in another life."""
        if self.topic_id:
            committed = until_answered(
                f"committed offsets of {self.topic}",
                lambda: consumer.committed(partitions, timeout=ANSWER),
                TIMEOUT,
            )
            for place, last in zip(partitions, committed, strict=True):
                if last.metadata and last.metadata != self.topic_id:
                    place.offset = OFFSET_BEGINNING
                    logger.warning(
                        "%s, partition %d: offset %d is one of a topic that was deleted, and void",
                        self.topic,
                        place.partition,
                        last.offset,
                    )
        consumer.incremental_assign(partitions)
