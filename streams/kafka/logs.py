"""Reads topics as finished logs: from a first offset to the end that was found at the start.

Nothing joins a group and nothing is committed, so reading disturbs no router. A reader needs a
few megabytes per partition, however long the log is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.kafka import clients
from streams.kafka.admin import is_embedded, no_topic
from streams.kafka.carried import headers_of
from streams.kafka.errors import BrokerError
from streams.kafka.security import Secured, for_librdkafka
from streams.kafka.waiting import until_answered

ANSWER = 10.0
"""Seconds in which a broker answers for the bounds of a log."""
PATIENCE = 30.0
"""Seconds within which a log that is being made, or whose leader is moving, must have a leader."""
SILENCE = 60.0
"""Seconds without a record or an end, after which reading gives up."""
WAIT = 0.05
"""Seconds in which a block of records may fill up."""
BLOCK = 500
"""Records fetched from librdkafka's queue at once."""
SETTINGS = {
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "log_level": 0,
}


class LogError(BrokerError):
    """A log does not exist, or cannot be read to its end."""


class Record(NamedTuple):
    """A record as it lies in the log. timestamp: milliseconds since 1970, as Kafka has it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Span(NamedTuple):
    """The records of one partition with start <= offset < end."""

    topic: str
    partition: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """Offsets in it; at least as many as records."""
        return max(self.end - self.start, 0)


def bounds(consumer: Consumer, place: TopicPartition, timeout: float) -> tuple[int, int]:
    """First and next offset of a partition, asked once.

    A broker that has only just come back may deny a partition, and librdkafka believes that until
    it asks for all topics again: that is done before an error is raised. Of a partition that has
    been added since it has asked for them it knows nothing: it is asked once more then.

    Raises:
        KafkaException: no answer within `timeout` seconds, or another error.
    """
    try:
        low, high = consumer.get_watermark_offsets(place, timeout=timeout)
    except KafkaException as error:
        with suppress(KafkaException):
            consumer.list_topics(timeout=timeout)
        if error.args[0].code() != KafkaError._UNKNOWN_PARTITION:
            raise
        low, high = consumer.get_watermark_offsets(place, timeout=timeout)
    return low, high


def _ends(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """First and next offset of a partition; repeated while its leader is moving."""

    def ask() -> tuple[int, int]:
        return bounds(consumer, place, ANSWER)

    return until_answered(f"bounds of {place.topic}, partition {place.partition}", ask, PATIENCE)


def _partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """The numbers of a topic's partitions; none where there is no such topic."""
    found = consumer.list_topics(topic, timeout=ANSWER).topics[topic]
    if found.error is not None and found.error.code() == KafkaError.LEADER_NOT_AVAILABLE:
        raise KafkaException(found.error)  # it is being made
    return [] if found.error is not None else sorted(found.partitions)


class Logs:
    """The logs of one broker."""

    def __init__(self, broker: Secured) -> None:
        """Nothing is opened yet."""
        self._connection = for_librdkafka(broker)

    def spans(
        self, topic: str, since: float | None = None, until: float | None = None
    ) -> list[Span]:
        """The spans that each partition of a topic holds now, in order of partitions.

        Args:
            topic: the topic's name.
            since: Unix seconds; a span begins at the first record that is not older.
            until: Unix seconds; a span ends before the first record that is not older.

        Raises:
            LogError: the topic does not exist.
            KafkaException: no broker answers.
        """
        with self._consumer() as consumer:
            numbers = until_answered(
                f"partitions of {topic}", lambda: _partitions_of(consumer, topic), PATIENCE
            )
            if not numbers:
                raise LogError(no_topic(topic))
            places = [TopicPartition(topic, number) for number in numbers]
            marks = [_ends(consumer, place) for place in places]
            spans = [
                Span(topic, place.partition, low, high)
                for place, (low, high) in zip(places, marks, strict=True)
            ]
            if since is not None:
                starts = zip(spans, self._at(consumer, spans, since), strict=True)
                spans = [span._replace(start=start) for span, start in starts]
            if until is not None:
                ends = zip(spans, self._at(consumer, spans, until), strict=True)
                spans = [span._replace(end=end) for span, end in ends]
        return spans

    def read(
        self, spans: Iterable[Span], progress: Callable[[int], None] = lambda offsets: None
    ) -> Iterator[Record]:
        """Yield the records of spans: those of one partition in order, partitions mixed.

        Args:
            spans: at most one per partition.
            progress: called with the number of offsets that reading has advanced by; the numbers
                sum to the spans' sizes.

        Raises:
            LogError: a part of a span has been deleted meanwhile, or nothing arrives for long.
            KafkaException: for the broker's other errors.
        """
        left = {(span.topic, span.partition): span for span in spans if span.size}
        if not left:
            return
        with self._consumer() as consumer:
            consumer.assign([TopicPartition(s.topic, s.partition, s.start) for s in left.values()])
            heard = time.monotonic()
            while left:
                messages = consumer.consume(BLOCK, WAIT)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE:
                    silent = ", ".join(f"{topic} {number}" for topic, number in left)
                    raise LogError(f"nothing came for {SILENCE:.0f} s of: {silent}")
                for message in messages:
                    place = (str(message.topic()), int(message.partition() or 0))
                    span = left.get(place)
                    if span is None:
                        continue  # beyond the end that we go to
                    error = message.error()
                    if error is not None:
                        _raise_unless_end(error, span)
                        reached = span.end
                    else:
                        record = to_record(message)
                        reached = min(record.offset + 1, span.end)
                        if record.offset < span.end:
                            yield record
                    progress(reached - span.start)
                    left[place] = span._replace(start=reached)
                    if reached >= span.end:
                        del left[place]
                        consumer.incremental_unassign([TopicPartition(*place)])

    def _at(self, consumer: Consumer, spans: Collection[Span], moment: float) -> list[int]:
        """The offset of each span's first record that is not older than `moment`."""
        milliseconds = int(moment * 1000)
        if is_embedded(clients.admin(self._connection)):
            return [self._search(span, milliseconds) for span in spans]  # it knows no times
        asked = [TopicPartition(s.topic, s.partition, milliseconds) for s in spans]

        def ask() -> list[TopicPartition]:
            found: list[TopicPartition] = consumer.offsets_for_times(asked, timeout=ANSWER)
            for place in found:
                if place.error is not None:
                    raise KafkaException(place.error)
            return found

        found = until_answered(f"offsets of a time in {asked[0].topic}", ask, PATIENCE)
        return [
            span.end if place.offset < 0 else min(max(place.offset, span.start), span.end)
            for span, place in zip(spans, found, strict=True)
        ]

    def _search(self, span: Span, milliseconds: int) -> int:
        young = (r.offset for r in self.read([span]) if r.timestamp >= milliseconds)
        return next(young, span.end)

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        consumer = clients.consumer(self._connection, "logs", SETTINGS)
        try:
            yield consumer
        finally:
            consumer.close()


def to_record(message: Any) -> Record:
    """Take over a record of librdkafka's."""
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers_of(message),
    )


def _raise_unless_end(error: KafkaError, span: Span) -> None:
    """The end of a partition is where compaction or a transaction's mark took the last record."""
    if error.code() == KafkaError._PARTITION_EOF:
        return
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise LogError(
            f"{span.topic}, partition {span.partition}: what began at offset {span.start} has been "
            "deleted while it was read (retention); run this again"
        )
    raise KafkaException(error)
