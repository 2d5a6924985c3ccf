"""Publishes what routers write: idempotent, compressed, awaited in batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.kafka import clients
from streams.kafka.waiting import until_answered

Headers = Sequence[tuple[str, bytes]]

ANSWER = 5.0
"""Seconds in which a reachable broker answers."""
PATIENCE = 10.0
"""Seconds within which a partition that has been added must be known."""
# No linger: a batch is handed over at once and waited for, so waiting for more only adds latency.
_SETTINGS = {"linger.ms": 0, "queue.buffering.max.messages": 1_000_000}


class Outbox:
    """A confluent-kafka producer whose deliveries an event loop can wait for.

    Idempotence keeps the records of one partition in the order of `send`, also over batches.
    """

    def __init__(self, servers: str, settings: Mapping[str, Any] | None = None) -> None:
        """Connect when the first record is sent.

        Args:
            servers: bootstrap addresses.
            settings: librdkafka's (security, compression…); they override the defaults.
        """
        connection = {"bootstrap.servers": servers}
        self._producer = clients.producer(connection, settings={**_SETTINGS, **(settings or {})})
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="outbox", daemon=True)
        self._thread.start()

    def batch(self) -> Batch:
        """Begin a set of records that are awaited together."""
        return Batch(self._producer)

    def close(self, timeout: float = 10.0) -> None:
        """Wait for records in flight, at most `timeout` seconds, and stop."""
        self._producer.flush(timeout)
        self._stopped.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(0.2)


def put(
    producer: Producer,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    partition: int,
    headers: Any,
    on_delivery: Callable[[KafkaError | None, Message], None],
) -> None:
    """Hand a record to a producer, which may not know yet that its partition has been added.

    Args:
        producer: librdkafka's.
        topic: the topic.
        value: the record's value.
        key: the record's key.
        partition: its number; -1 leaves it to the producer.
        headers: as librdkafka takes them.
        on_delivery: called, while the producer is polled, when it has been acknowledged or refused.

    Raises:
        BufferError: the producer's queue is full.
        BrokerError: there is no such partition.
    """

    try:
        producer.produce(topic, value, key, partition, on_delivery=on_delivery, headers=headers)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._UNKNOWN_PARTITION:
            raise

        def ask_and_produce() -> None:
            producer.list_topics(topic, timeout=ANSWER)
            producer.produce(topic, value, key, partition, on_delivery=on_delivery, headers=headers)

        until_answered(f"sending to partition {partition} of {topic}", ask_and_produce, PATIENCE)


class Batch:
    """Records sent together. `send` from one thread only; then `await delivered()` once."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._loop = asyncio.get_running_loop()
        self._sent = 0
        self._done = 0
        self._error: KafkaError | None = None
        self._last: Message | None = None
        self._all_done: asyncio.Future[None] | None = None

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: Headers = (),
    ) -> None:
        """Hand a record to the producer. Raises BufferError when its queue is full."""
        put(self._producer, topic, value, key, partition, list(headers), self._delivered)
        self._sent += 1

    async def delivered(self) -> int:
        """Wait until the broker has acknowledged every record.

        Returns:
            The offset of the last one; -1 for an empty batch, and where the broker does not say.

        Raises:
            KafkaException: a record was refused, or could not be delivered in time.
        """
        self._all_done = self._loop.create_future()
        if self._done == self._sent:
            self._wake()
        await self._all_done
        if self._error is not None:
            raise KafkaException(self._error)
        offset = None if self._last is None else self._last.offset()
        return -1 if offset is None else int(offset)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        # Runs in the polling thread. It counts before it looks for the future; `delivered` makes
        # the future before it looks at the count: one of the two always sees the other.
        if error is not None:
            self._error = error
        self._last = message
        self._done += 1
        if self._all_done is not None and self._done == self._sent:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._all_done is not None and not self._all_done.done():
            self._all_done.set_result(None)
