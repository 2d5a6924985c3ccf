"""A worker's consumer: fetches records, revokes partitions in order, detects a dead broker.

confluent-kafka calls back about partitions inside `poll`, and blocks there. So all calls that may
block run in one thread of the consumer's own, and the worker's event loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streams.kafka import clients
from streams.kafka.admin import no_topic
from streams.kafka.fatal import die
from streams.kafka.presence import PRESENCE, UNREACHABLE
from streams.kafka.topic_ids import TopicWatch
from streams.worker.positions import Positions

logger = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds without any broker after which the worker ends, as routers do."""
RETRY_INTERVAL = 10.0
"""Seconds between two attempts to reach a broker."""

SETTINGS: Mapping[str, Any] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
    "queued.max.messages.kbytes": 16_384,
    "log_level": 2,  # errors are called back; the log repeats each a hundred times
}
NON_RETRIABLE = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
"""Non-retriable errors."""

Offsets = dict[int, int]
"""By partition, the offset to resume from after a crash."""
Returned = TypeVar("Returned")


class WorkerError(RuntimeError):
    """The worker cannot continue, and not because of a message. Says what is wrong."""


class WorkerConsumer:
    """The records of one topic, as a member of a consumer group."""

    def __init__(
        self,
        servers: str,
        settings: Mapping[str, Any],
        topic: str,
        group: str,
        on_revoke: Callable[[Iterable[int]], Coroutine[Any, Any, Offsets]],
        on_lost: Callable[[Iterable[int]], Coroutine[Any, Any, None]],
    ) -> None:
        """Connect to nothing yet.

        Args:
            servers: bootstrap addresses.
            settings: librdkafka's (security); they win over those here.
            topic: the topic to read.
            group: the consumer group to join.
            on_revoke: awaited on the event loop before partitions go to another member; returns
                what to commit for them.
            on_lost: awaited on the event loop when partitions have already gone.
        """
        self._positions = Positions(topic)
        self._connection = {"bootstrap.servers": servers, **settings}
        self._revoke = on_revoke
        self._lose = on_lost
        self._first: Message | None = None
        self._failure: str | None = None
        self._all_down = True  # until one answers
        self._last_error = ""
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, f"consumer {topic}")
        own = {"bootstrap.servers": servers, "error_cb": self._on_error, **SETTINGS}
        self._consumer = clients.group_consumer(own, group, settings)

    @property
    def topic(self) -> str:
        """The topic that it reads."""
        return self._positions.topic

    @property
    def _servers(self) -> str:
        return str(self._connection["bootstrap.servers"])

    @property
    def is_connected(self) -> bool:
        """Whether a broker has answered, and none has been missed since."""
        return not self._all_down

    async def open(self, stop: asyncio.Event, others: Sequence[str] = ()) -> TopicWatch:
        """Join the group. Returns what watches this topic and others from now on.

        Args:
            stop: once it is set, an unreachable broker is not waited for any longer.
            others: topics that must be there, too.

        Raises:
            WorkerError: there is no broker, or a topic is missing.
        """
        self._stop = stop
        topics = (self.topic, *others)
        await self._in_thread(self._require, topics)
        watch = TopicWatch(self._connection, topics, die)
        await watch.start()
        self._positions.topic_id = watch.ids.get(self.topic, "")
        await self._in_thread(self._join)
        return watch

    async def fetch(self, most: int, timeout: float) -> list[Message]:
        """Wait at most `timeout` seconds for a first record, then take those that are there.

        To be called at least every few minutes, also while paused, or the group expels this
        member. Raises WorkerError where the topic or all brokers are gone.
        """
        return await self._in_thread(self._fetch, most, timeout)

    def pause(self) -> None:
        """Fetch no more, and stay in the group; call again when partitions may have been added."""
        self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        """Fetch again."""
        self._consumer.resume(self._consumer.assignment())

    def commit_soon(self, offsets: Offsets) -> None:
        """Commit without waiting."""
        if offsets:
            self._consumer.commit(offsets=self._positions.to_commit(offsets), asynchronous=True)

    async def commit(self, offsets: Offsets) -> None:
        """Commit and wait. A refusal is logged: the next owner repeats what was not committed."""
        await self._in_thread(self._commit, offsets)

    async def close(self) -> None:
        """Leave the group, which revokes all partitions."""
        await self._in_thread(self._consumer.close)
        self._thread.shutdown()

    async def _in_thread(self, function: Callable[..., Returned], *arguments: Any) -> Returned:
        return await self._loop.run_in_executor(self._thread, function, *arguments)

    def _require(self, topics: Sequence[str]) -> None:
        found = self._topics()
        for topic in topics:
            if topic not in found:
                raise WorkerError(f"{self._servers}: {no_topic(topic)}")

    def _join(self) -> None:
        self._consumer.subscribe(
            [self.topic],
            on_assign=self._positions.assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        self._all_down = False

    def _topics(self) -> Collection[str]:
        began = time.monotonic()
        while True:
            try:
                with PRESENCE.asking():
                    known = self._consumer.list_topics(timeout=min(RETRY_INTERVAL, PATIENCE))
                return frozenset(known.topics)
            except KafkaException as error:
                why, waited = error.args[0].str(), time.monotonic() - began
                unreachable = error.args[0].code() in UNREACHABLE
                if not unreachable or waited >= PATIENCE or self._stop.is_set():
                    raise WorkerError(
                        f"no broker at {self._servers} answers for {waited:.0f} seconds ({why})"
                    ) from error

    def _fetch(self, most: int, timeout: float) -> list[Message]:
        self._first = self._consumer.poll(timeout)
        messages = self._consumer.consume(most - 1, 0.01) if self._first and most > 1 else []
        if self._all_down:
            self._topics()
            self._all_down = False
        if self._failure is not None:
            raise WorkerError(self._failure)
        if self._first is not None:
            messages.insert(0, self._first)
        return [message for message in messages if self._is_record(message)]

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is not None:
            if error.fatal() or error.code() in NON_RETRIABLE:
                raise WorkerError(f"cannot read {self.topic}: {error.str()}")
            logger.warning("%s: %s", self.topic, error.str())
        return error is None

    def _commit(self, offsets: Offsets) -> None:
        if offsets:
            try:
                self._consumer.commit(
                    offsets=self._positions.to_commit(offsets), asynchronous=False
                )
            except KafkaException as error:
                logger.warning("%s: not committed: %s", self.topic, error.args[0].str())

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        revoking = self._revoke(self._numbers(partitions))
        self._commit(asyncio.run_coroutine_threadsafe(revoking, self._loop).result())

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        losing = self._lose(self._numbers(partitions))
        asyncio.run_coroutine_threadsafe(losing, self._loop).result()

    def _numbers(self, partitions: list[TopicPartition]) -> list[int]:
        numbers = [each.partition for each in partitions]
        if self._first is not None and self._first.partition() in numbers:
            self._first = None  # fetched a moment ago: the next owner fetches it
        return numbers

    def _on_error(self, error: KafkaError) -> None:
        if error.code() not in UNREACHABLE and error.str() != self._last_error:
            self._last_error = error.str()
            logger.warning("%s: %s", self.topic, self._last_error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._all_down = True
        elif error.fatal() or error.code() in NON_RETRIABLE:
            self._failure = f"{self._servers}: {error.str()}"
