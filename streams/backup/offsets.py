"""Writes records to an empty partition at the offsets that they had.

Kafka numbers records as they come, so what lies between two of them must be filled, and nobody may
see with what. Before the first record that is padding which is deleted again. Further on, where
compaction has removed records or a transaction has left its mark, it is padding of a transaction
that is aborted. The mark of its end takes an offset, too: that of a later gap, so that gaps close
to each other share a transaction, with records beside it in between. A single offset far from
others is the mark of a transaction that is committed, with the record before it.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any, Self

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.backup.archive import BackupError
from streams.kafka import clients
from streams.kafka.admin import TIMEOUT
from streams.kafka.logs import ANSWER, Record, Span, bounds
from streams.kafka.security import Secured, for_librdkafka
from streams.kafka.waiting import until_answered

PADDING = b"padding"
"""Key of the records that nobody sees."""
PATIENCE = 120.0
"""Seconds in which the broker must take what it is sent."""
NEAR = 32
"""Records within which a gap must follow another for both to share a transaction: none stays open
for as long as its broker allows, and few records are held in memory."""
LONGEST = 30.0
"""Seconds after which a transaction ends in the next gap."""
LOOK = 0.002
"""Seconds between two looks for the mark of a transaction's end."""
Progress = Callable[[int], None]
Step = tuple[Record, int]
"""A record, and the number of offsets that nothing has behind it."""


class OffsetWriter:
    """Fills partitions, one after the other. Use as a context."""

    def __init__(self, broker: Secured) -> None:
        """Connect to nothing yet."""
        connection = for_librdkafka(broker)
        self._admin: AdminClient = clients.admin(connection)
        self._consumer = clients.consumer(connection, "restore")
        self._plain = clients.producer(connection, PATIENCE)
        settings = {
            "transactional.id": f"sluice-restore-{secrets.token_hex(8)}",
            "transaction.timeout.ms": int(PATIENCE * 2000),
        }
        self._transactional = clients.producer(connection, PATIENCE, settings)
        self._has_transactions = False
        self._opened: float | None = None
        self._wrong: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def fill(
        self, span: Span, records: Iterable[Record], progress: Progress = lambda done: None
    ) -> None:
        """Write a partition's records, so that it ends where it ended.

        Args:
            span: first offset, and the one after the last. The partition is empty, and its topic's
                cleanup.policy is "delete".
            records: in order of their offsets, all in the span.
            progress: called with the number of records that have been handed over.

        Raises:
            BackupError: records came to other offsets: somebody else writes to the partition.
            BrokerError: the broker does not answer in time.
            KafkaException: it refuses.
        """
        steps = _steps(records, span.end)
        first = list(islice(steps, 1))
        self._begin_at(span, first[0][0].offset if first else span.end)
        for record, gap, near in _with_outlook(chain(first, steps)):
            self._put(record, gap, near)
            progress(1)
        self._flush(self._plain)
        self._await_end(span.topic, span.partition, span.end)

    def _begin_at(self, span: Span, first: int) -> None:
        """Have an empty partition go on at an offset."""
        if first == 0:
            return
        for offset in range(first):
            self._send(self._plain, span.topic, span.partition, offset)
        self._flush(self._plain)
        place = TopicPartition(span.topic, span.partition, first)

        def delete() -> None:
            self._admin.delete_records([place], request_timeout=TIMEOUT)[place].result(TIMEOUT)

        until_answered(f"deleting padding of {span.topic}", delete, TIMEOUT)

    def _put(self, record: Record, gap: int, near: bool) -> None:
        """Write a record, and what fills the gap behind it.

        Args:
            record: at the offset that comes next.
            gap: offsets to fill.
            near: whether another gap follows soon, which can take the end of a transaction.
        """
        if gap == 1 and self._opened is None and not near:
            self._flush(self._plain)
            self._begin()
            self._send(self._transactional, record.topic, record.partition, record.offset, record)
            self._end("commit_transaction", record, record.offset + 2)
            return
        self._send(self._plain, record.topic, record.partition, record.offset, record)
        if gap == 0:
            return
        self._flush(self._plain)
        ends = not near
        if self._opened is None:
            self._begin()
        else:
            ends = ends or time.monotonic() - self._opened > LONGEST
        following = record.offset + 1 + gap
        for offset in range(record.offset + 1, following - ends):
            self._send(
                self._transactional,
                record.topic,
                record.partition,
                offset,
                timestamp=record.timestamp,
            )
        if ends:
            self._end("abort_transaction", record, following)
        else:
            self._flush(self._transactional)

    def _begin(self) -> None:
        if not self._has_transactions:
            self._has_transactions = True
            self._transactional.init_transactions(TIMEOUT)
        self._transactional.begin_transaction()
        self._opened = time.monotonic()

    def _end(self, how: str, record: Record, following: int) -> None:
        """End the transaction, whose mark is the last before the offset `following`."""
        self._flush(self._transactional)  # an abort would drop what has not been sent
        ended = getattr(self._transactional, how)
        until_answered("ending a transaction", lambda: ended(ANSWER), TIMEOUT)
        self._opened = None
        self._await_end(record.topic, record.partition, following)

    def _send(
        self,
        producer: Producer,
        topic: str,
        partition: int,
        offset: int,
        record: Record | None = None,
        timestamp: int = 0,
    ) -> None:
        """Hand over a record, or padding, that is to come to an offset."""
        value: bytes | None = None
        key: bytes | None = PADDING
        headers: list[Any] = []
        if record is not None:
            value, key, timestamp = record.value, record.key, record.timestamp
            headers.extend(record.headers)
        while True:
            try:
                producer.produce(
                    topic,
                    value,
                    key,
                    partition,
                    on_delivery=partial(self._delivered, offset),
                    timestamp=max(timestamp, 0),
                    headers=headers,
                )
            except BufferError:
                producer.poll(0.1)
            else:
                producer.poll(0)
                return

    def _delivered(self, wanted: int, error: Any, message: Any) -> None:
        if error is not None:
            self._wrong = self._wrong or f"{message.topic()}: {error.str()}"
        elif message.offset() != wanted:
            self._wrong = self._wrong or (
                f"{message.topic()}, partition {message.partition()}: a record came to offset "
                f"{message.offset()} instead of {wanted}: does somebody else write to the topic?"
            )

    def _flush(self, producer: Producer) -> None:
        if producer.flush(PATIENCE):
            self._wrong = self._wrong or "the broker does not acknowledge"
        if self._wrong is not None:
            raise BackupError(self._wrong)

    def _await_end(self, topic: str, partition: int, end: int) -> None:
        """Wait until a partition ends at an offset, with all transactions."""
        place, began = TopicPartition(topic, partition), time.monotonic()
        while True:
            found = until_answered(
                f"end of {topic}", partial(bounds, self._consumer, place, ANSWER), TIMEOUT
            )[1]
            if found == end:
                return
            if found > end or time.monotonic() - began > TIMEOUT:
                raise BackupError(f"{topic}, partition {partition} ends at {found}, not at {end}")
            time.sleep(LOOK)


def _steps(records: Iterable[Record], end: int) -> Iterator[Step]:
    """Yield each record with the offsets to the next one, or to the end, that nothing has."""
    before: Record | None = None
    for record in records:
        if before is not None:
            yield before, _gap(before, record.offset)
        before = record
    if before is not None:
        yield before, _gap(before, end)


def _gap(record: Record, following: int) -> int:
    gap = following - record.offset - 1
    if gap < 0:
        raise BackupError(f"{record.topic}: offset {following} follows {record.offset}")
    return gap


def _with_outlook(steps: Iterable[Step]) -> Iterator[tuple[Record, int, bool]]:
    """Yield each step, and whether another gap is near behind it."""
    ahead, gaps = deque[Step](), 0

    def taken() -> tuple[Record, int, bool]:
        nonlocal gaps
        record, gap = ahead.popleft()
        gaps -= gap > 0
        return record, gap, gaps > 0

    for step in steps:
        ahead.append(step)
        gaps += step[1] > 0
        if len(ahead) > NEAR:
            yield taken()
    while ahead:
        yield taken()
