"""A worker's consumer: fetches records, gives partitions back in order, notices a dead broker.

confluent-kafka calls back about partitions inside `poll`, and blocks there. So all that may block
runs in one thread of the intake's own; the worker's event loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.kafka import clients

logger = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds without any broker after which the worker ends, as routers do."""
ASK_EVERY = 10.0
"""Seconds after which a broker that does not answer is asked again, and the log says so."""

AWAY = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT})
"""Codes that say that no broker answers; any other is an answer."""

SETTINGS: Mapping[str, Any] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
    "queued.max.messages.kbytes": 16_384,
    "log_level": 2,  # errors are called back; the log repeats each a hundred times
}
HOPELESS = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
"""Errors that no waiting mends."""

Offsets = dict[int, int]
"""Partition: the offset to go on from after a crash."""
Returned = TypeVar("Returned")


class WorkerError(RuntimeError):
    """The worker cannot go on, and no message is to blame. Says what is wrong."""


class WorkerConsumer:
    """The records of one topic, as a member of a consumer group."""

    def __init__(
        self,
        servers: str,
        settings: Mapping[str, Any],
        topic: str,
        group: str,
        give_back: Callable[[Iterable[int]], Coroutine[Any, Any, Offsets]],
        lose: Callable[[Iterable[int]], Coroutine[Any, Any, None]],
    ) -> None:
        """settings: librdkafka's (security); give_back: awaited on the event loop before
        partitions go to another member, returns what to commit for them; lose: awaited when they
        have already gone.
        """
        self.topic = topic
        self._servers = servers
        self._give_back = give_back
        self._lose = lose
        self._first: Message | None = None
        self._failure: str | None = None
        self._brokers_down = False
        self._last_error = ""
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, f"intake {topic}")
        own = {"bootstrap.servers": servers, "error_cb": self._on_error, **SETTINGS}
        self._consumer = clients.group_consumer(own, group, settings)

    async def open(self, stop: asyncio.Event) -> dict[str, int]:
        """Join the group. Returns every topic's number of partitions. Raises WorkerError.

        stop: once it is set, a broker that is away is not waited for any longer.
        """
        self._stop = stop
        return await self._in_thread(self._open)

    async def fetch(self, most: int, timeout: float) -> list[Message]:
        """Wait at most `timeout` seconds for a first record, then take those that are there.

        To be called at least every few minutes, also while paused, or the group goes on without
        this member. Raises WorkerError where the topic or all brokers are gone.
        """
        return await self._in_thread(self._fetch, most, timeout)

    def pause(self) -> None:
        """Fetch no more, and stay in the group; to be repeated when partitions may have come."""
        self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        """Fetch again."""
        self._consumer.resume(self._consumer.assignment())

    def commit_soon(self, offsets: Offsets) -> None:
        """Commit without waiting."""
        if offsets:
            self._consumer.commit(offsets=self._places(offsets), asynchronous=True)

    async def commit(self, offsets: Offsets) -> None:
        """Commit and wait. A refusal is logged: the next owner repeats what was not committed."""
        await self._in_thread(self._commit, offsets)

    async def close(self) -> None:
        """Leave the group, which gives all partitions back."""
        await self._in_thread(self._consumer.close)
        self._thread.shutdown()

    async def _in_thread(self, function: Callable[..., Returned], *arguments: Any) -> Returned:
        return await self._loop.run_in_executor(self._thread, function, *arguments)

    def _open(self) -> dict[str, int]:
        found = self._partitions()
        if self.topic not in found:
            raise WorkerError(
                f"{self._servers} has no topic {self.topic}; make it with: sluice topics create"
            )
        self._consumer.subscribe([self.topic], on_revoke=self._on_revoke, on_lost=self._on_lost)
        return found

    def _partitions(self) -> dict[str, int]:
        began = time.monotonic()
        while True:
            try:
                topics = self._consumer.list_topics(timeout=min(ASK_EVERY, PATIENCE)).topics
                return {name: len(topic.partitions) for name, topic in topics.items()}
            except KafkaException as error:
                why, waited = error.args[0].str(), time.monotonic() - began
                away = error.args[0].code() in AWAY
                if not away or waited >= PATIENCE or self._stop.is_set():
                    raise WorkerError(
                        f"no broker at {self._servers} answers for {waited:.0f} seconds ({why})"
                    ) from error
                logger.warning("no broker at %s answers as yet (%s)", self._servers, why)

    def _fetch(self, most: int, timeout: float) -> list[Message]:
        self._first = self._consumer.poll(timeout)
        messages = self._consumer.consume(most - 1, 0.01) if self._first and most > 1 else []
        if self._brokers_down:
            self._partitions()
            self._brokers_down = False
        if self._failure is not None:
            raise WorkerError(self._failure)
        if self._first is not None:
            messages.insert(0, self._first)
        return [message for message in messages if self._is_record(message)]

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is not None:
            if error.fatal() or error.code() in HOPELESS:
                raise WorkerError(f"cannot read {self.topic}: {error.str()}")
            logger.warning("%s: %s", self.topic, error.str())
        return error is None

    def _commit(self, offsets: Offsets) -> None:
        if offsets:
            try:
                self._consumer.commit(offsets=self._places(offsets), asynchronous=False)
            except KafkaException as error:
                logger.warning("%s: not committed: %s", self.topic, error.args[0].str())

    def _places(self, offsets: Offsets) -> list[TopicPartition]:
        return [TopicPartition(self.topic, number, offset) for number, offset in offsets.items()]

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        leaving = self._give_back(self._numbers(partitions))
        self._commit(asyncio.run_coroutine_threadsafe(leaving, self._loop).result())

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        leaving = self._lose(self._numbers(partitions))
        asyncio.run_coroutine_threadsafe(leaving, self._loop).result()

    def _numbers(self, partitions: list[TopicPartition]) -> list[int]:
        numbers = [each.partition for each in partitions]
        if self._first is not None and self._first.partition() in numbers:
            self._first = None  # fetched a moment ago: the next owner fetches it
        return numbers

    def _on_error(self, error: KafkaError) -> None:
        if error.str() != self._last_error:
            self._last_error = error.str()
            logger.warning("%s: %s", self.topic, self._last_error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._brokers_down = True
        elif error.fatal() or error.code() in HOPELESS:
            self._failure = f"{self._servers}: {error.str()}"
