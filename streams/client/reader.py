"""Follows the topics in which queries end, from now on, and picks the records of wanted ids.

Every process reads all of these topics without a group, and looks at the keys only: any number of
processes can wait for answers, and none takes another's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message, TopicPartition

from streams.client.errors import ClientError
from streams.kafka import clients
from streams.kafka.added_partitions import AddedPartitions
from streams.kafka.admin import is_embedded, no_topic
from streams.kafka.logs import Record, to_record
from streams.kafka.waiting import until_answered

logger = logging.getLogger(__name__)

ANSWER = 10.0
"""Seconds in which a broker answers for the ends of a topic."""
PATIENCE = 30.0
"""Seconds within which a topic that is being made must have its leaders."""
BLOCK = 500
_SETTINGS = {
    "fetch.wait.max.ms": 50,
    "auto.offset.reset": "latest",
    "enable.partition.eof": True,
    "log_level": 2,
}
LOST = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)

Wanted = Callable[[bytes], bool]
Handle = Callable[[Sequence[Record]], None]


class AnswerReader:
    """Calls `handle` on the event loop with blocks of the records whose keys are wanted."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        topics: Sequence[str],
        wanted: Wanted,
        handle: Handle,
        since: float | None = None,
    ) -> None:
        """Find the topics' ends, and follow them from there.

        What is sent after this returns is seen: the positions are fixed here, not at the first
        fetch.

        Args:
            connection: How the broker is reached.
            topics: Followed with all their partitions, those included that are added later.
            wanted: Called with each key, in the reading thread.
            handle: Called on the running event loop.
            since: Unix seconds to begin at instead; at the first record where the broker knows no
                times.

        Raises:
            ClientError: A topic is missing.
            KafkaException: No broker answers.
        """
        self._loop = asyncio.get_running_loop()
        self._wanted, self._handle = wanted, handle
        self._failed: str | None = None
        self._caught_up, self._told = asyncio.Event(), False
        self._stopped = threading.Event()
        self._connection = connection
        self._consumer = clients.consumer(connection, "client", _SETTINGS)
        try:
            places = self._places(topics, since)
            self._behind = {(place.topic, place.partition) for place in places}
            self._consumer.assign(places)
            self._added = AddedPartitions(self._consumer, places)
        except BaseException:
            self._consumer.close()
            raise
        self._thread = threading.Thread(target=self._read, name="answers", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Why nothing more is read; None while all is well."""
        return self._failed

    def fail(self, reason: str) -> None:
        """Take what is read from now on for nothing. Keeps the first reason."""
        if self._failed is None:
            self._failed = reason
            logger.error("answers are not read any more: %s", reason)

    async def caught_up(self) -> None:
        """Wait until everything that was there at the start has been handled."""
        await self._caught_up.wait()

    def close(self) -> None:
        """Stop reading."""
        self._stopped.set()
        self._thread.join()
        self._consumer.close()

    def _places(self, topics: Sequence[str], since: float | None) -> list[TopicPartition]:
        known = until_answered(
            "listing topics", lambda: self._consumer.list_topics(timeout=ANSWER).topics, PATIENCE
        )
        if missing := [topic for topic in topics if topic not in known]:
            raise ClientError(no_topic(*missing))
        places: list[TopicPartition] = []
        for topic in topics:
            for number in known[topic].partitions:
                place = TopicPartition(topic, number)
                place.offset = self._bounds(place)[1]
                places.append(place)
        return places if since is None else self._earlier(places, since)

    def _earlier(self, places: list[TopicPartition], since: float) -> list[TopicPartition]:
        if is_embedded(clients.admin(self._connection)):  # it knows no times, and holds little
            for place in places:
                place.offset = self._bounds(place)[0]
            return places
        asked = [TopicPartition(p.topic, p.partition, int(since * 1000)) for p in places]
        found = until_answered(
            "looking for the answers' first offsets",
            lambda: self._consumer.offsets_for_times(asked, timeout=ANSWER),
            PATIENCE,
        )
        for place, at in zip(places, found, strict=True):
            if at.error is None and 0 <= at.offset < place.offset:
                place.offset = at.offset
        return places

    def _bounds(self, place: TopicPartition) -> tuple[int, int]:
        """The first and the next offset; a topic that was just made may have no leader yet."""

        def ask() -> tuple[int, int]:
            first, end = self._consumer.get_watermark_offsets(place, timeout=ANSWER)
            return int(first), int(end)

        return until_answered(f"reading the bounds of {place.topic}", ask, PATIENCE)

    def _read(self) -> None:
        while not self._stopped.is_set():
            self._added.look()
            first = self._consumer.poll(0.2)
            if first is None:
                continue
            messages = [first, *self._consumer.consume(BLOCK, 0)]
            records = [to_record(each) for each in messages if self._is_wanted(each)]
            if records and not self._stopped.is_set():
                self._loop.call_soon_threadsafe(self._handle, records)
            if not self._behind and not self._told:
                self._told = True
                self._loop.call_soon_threadsafe(self._caught_up.set)

    def _is_wanted(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            key = message.key()
            return key is not None and self._wanted(_bytes(key))
        if error.code() == KafkaError._PARTITION_EOF:
            self._behind.discard((str(message.topic()), int(message.partition() or 0)))
        elif error.code() in LOST:
            self.fail(f"{message.topic()}: {error.str()}")
        return False


def _bytes(key: str | bytes) -> bytes:
    return key.encode() if isinstance(key, str) else key
