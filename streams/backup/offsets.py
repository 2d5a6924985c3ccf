"""Writes records to an empty partition at the offsets that they had.

Kafka numbers records as they come, so what lies between two of them must be filled, and nobody may
see with what. Before the first record that is padding which is deleted again. Further on, where
compaction has removed records or a transaction has left its mark, it is an aborted transaction:
n - 1 records and the mark of its end. A single offset is the mark of a transaction that is
committed, with the record before it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from functools import partial
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
LOOK = 0.002
"""Seconds between two looks for the mark of a transaction's end."""
Progress = Callable[[int], None]


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
        before: Record | None = None
        for record in records:
            if before is None:
                self._begin_at(span, record.offset)
            else:
                self._put(before, record.offset)
                progress(1)
            before = record
        if before is None:
            self._begin_at(span, span.end)
        else:
            self._put(before, span.end)
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

    def _put(self, record: Record, following: int) -> None:
        """Write a record, and whatever makes the next one come to the offset `following`."""
        gap = following - record.offset - 1
        if gap < 0:
            raise BackupError(f"{record.topic}: offset {following} follows {record.offset}")
        if gap == 1:
            self._in_transaction(record, [record.offset], "commit_transaction")
            return
        self._send(self._plain, record.topic, record.partition, record.offset, record)
        if gap:
            padding = range(record.offset + 1, following - 1)
            self._in_transaction(record, padding, "abort_transaction")

    def _in_transaction(self, record: Record, offsets: Iterable[int], end: str) -> None:
        """Write the record, or padding in its place, and the mark of a transaction's end."""
        self._flush(self._plain)
        producer, last = self._transactional, record.offset
        if not self._has_transactions:
            self._has_transactions = True
            producer.init_transactions(TIMEOUT)
        producer.begin_transaction()
        for last in offsets:
            content = record if end == "commit_transaction" else None
            self._send(producer, record.topic, record.partition, last, content, record.timestamp)
        self._flush(producer)  # an abort would drop what has not been sent
        until_answered("ending a transaction", lambda: getattr(producer, end)(ANSWER), TIMEOUT)
        self._await_end(record.topic, record.partition, last + 2)

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
