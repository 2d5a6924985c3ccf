"""Whole topics, read to their ends again and again, each record once."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from tests.support.patience import PATIENCE

Place = tuple[str, int]
"""Topic and partition."""


class Record(NamedTuple):
    """One record as it stands in the log. timestamp: Unix seconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    timestamp: float

    def json(self) -> Any:
        """The value as JSON."""
        return orjson.loads(self.value or b"null")


class Records:
    """All records of some topics since their beginning; `of` reads on to the end there is now."""

    def __init__(self, servers: str, topics: Mapping[str, int]) -> None:
        """topics: partitions by name."""
        self._topics = dict(topics)
        self._found: dict[str, list[Record]] = defaultdict(list)
        self._reached: dict[Place, int] = defaultdict(int)
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "tests-records",  # librdkafka wants one; nothing is committed
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._consumer.assign(
            [
                TopicPartition(topic, partition, OFFSET_BEGINNING)
                for topic, count in topics.items()
                for partition in range(count)
            ]
        )

    def of(self, topic: str) -> list[Record]:
        """Every record of a topic up to its end at the moment of the call.

        Raises TimeoutError where the broker does not give them in `PATIENCE` seconds.
        """
        give_up = time.monotonic() + PATIENCE
        ends = {(topic, n): self._end(topic, n, give_up) for n in range(self._topics[topic])}
        while any(self._reached[place] < end for place, end in ends.items()):
            if time.monotonic() > give_up:
                raise TimeoutError(f"{topic}: read to {dict(self._reached)}, it ends at {ends}")
            self._take(0.2)
        return self._found[topic]

    def also(self, topics: Mapping[str, int]) -> None:
        """Read the partitions, too, that these topics have beyond those known."""
        added = [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic, count in topics.items()
            for partition in range(self._topics.get(topic, 0), count)
        ]
        self._topics.update(topics)
        self._consumer.incremental_assign(added)

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def _end(self, topic: str, partition: int, give_up: float) -> int:
        while True:
            try:
                place = TopicPartition(topic, partition)
                _, end = self._consumer.get_watermark_offsets(place, timeout=5.0)
                return int(end)
            except KafkaException as error:
                if time.monotonic() > give_up:
                    raise TimeoutError(f"{topic} {partition}: no end is told ({error})") from None
                self._take(0.2)
                # A broker that has only just come back may deny a topic, and librdkafka believes
                # that until it asks for all topics once more.
                with suppress(KafkaException):
                    self._consumer.list_topics(timeout=5.0)

    def _take(self, seconds: float) -> None:
        message: Any
        for message in self._consumer.consume(2000, seconds):
            place = (message.topic(), message.partition())
            if (error := message.error()) is None:
                self._found[message.topic()].append(_record(message))
                self._reached[place] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                # Offsets without a record (compacted, or dropped by the embedded broker) too.
                self._reached[place] = max(self._reached[place], message.offset())


def trace(id: str) -> list[tuple[str, bytes]]:
    """The W3C trace header of a query, made from its id."""
    digest = sha256(id.encode()).hexdigest()
    return [("traceparent", f"00-{digest[:32]}-{digest[32:48]}-01".encode())]


def _record(message: Any) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        dict(message.headers() or []),
        message.timestamp()[1] / 1000,
    )
