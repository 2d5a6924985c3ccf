"""Has a consumer without a group follow the partitions that its topics gain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

EVERY = 5.0
"""Seconds between two looks. Clients send to a new partition later than a look finds it, mostly."""
ANSWER = 1.0
"""Seconds for which a look holds reading up where no broker answers."""


class AddedPartitions:
    """Assigns partitions that have been added, from their first record on."""

    def __init__(
        self,
        consumer: Consumer,
        places: Iterable[TopicPartition],
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        consumer: Reads what it is assigned.
        places: All partitions of the topics to look after, as assigned to it.
        every: Seconds between two looks.
        clock: Monotonic seconds.
        """
        self._consumer = consumer
        self._every = every
        self._clock = clock
        self._due = clock() + every
        self.counts: dict[str, int] = {}
        """Partitions that are read, by topic."""
        for place in places:
            self.counts[place.topic] = self.counts.get(place.topic, 0) + 1

    def look(self) -> None:
        """Assign what has been added, if a look is due; one that fails is repeated in time."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + self._every
        for topic, count in self.counts.items():
            try:
                known = self._consumer.list_topics(topic, timeout=ANSWER).topics[topic].partitions
            except KafkaException:
                return
            if added := [TopicPartition(topic, number, 0) for number in range(count, len(known))]:
                self._consumer.incremental_assign(added)
                self.counts[topic] = len(known)
