"""Reads a deployment's topics for the page, without joining a group: it costs routers nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition

from schemas import Invalid, Prices, Receipt, ShareReport
from schemas.result import read_result
from schemas.wire import NewerFormat, decode
from streams.config.settings import Config
from streams.kafka import clients
from streams.kafka.added_partitions import AddedPartitions
from streams.kafka.admin import ANSWER, is_embedded
from streams.kafka.follower import OFFSET_TAIL_BASE
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import LARGEST_MESSAGE, Topics
from streams.page.view import View

logger = logging.getLogger(__name__)

PAST = 600.0
"""Seconds of the past that the page begins with."""
BLOCK = 500
NEWEST_PRICES = 100
LOOK = 2.0
"""Seconds between two looks at where the queries end, which also tell whether a broker answers."""


class TopicReader:
    """Feeds a view from a thread of its own."""

    def __init__(self, config: Config, view: View) -> None:
        """Connect to nothing yet."""
        self.lock = threading.Lock()
        """Held while the view changes."""
        self.failure: str | None = "the topics are being read"
        """Why the view may be old; None while it is not."""
        self._config = config
        self._topics = topics = Topics(config.topics.prefix)
        self._view = view
        self._ends: dict[int, int] = {}
        self._added: AddedPartitions | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._handlers: dict[str, Callable[[Message], None]] = {
            topics.receipts: lambda m: view.take_receipt(decode(Receipt, m.value())),
            topics.results: lambda m: view.take_result(
                read_result(m.value(), LARGEST_MESSAGE), _made(m)
            ),
            topics.share_reports: lambda m: view.take_report(
                decode(ShareReport, m.value(), LARGEST_MESSAGE), _made(m)
            ),
            topics.prices: lambda m: view.take_prices(decode(Prices, m.value(), LARGEST_MESSAGE)),
            topics.control: lambda m: view.take_command(m.key(), m.value(), m.offset() or 0),
        }

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and disconnect."""
        self._stopped.set()
        self._thread.join()

    @property
    def partitions(self) -> int:
        """Of the queries: as many as their results have, or as configured before a broker tells."""
        known = {} if self._added is None else self._added.counts
        return known.get(self._topics.results, self._config.topics.partitions)

    @property
    def backlog(self) -> int:
        """Queries that are not decided yet, where anything of their partition has been."""
        decided = self._view.decided
        return sum(max(end - decided[n] - 1, 0) for n, end in self._ends.items() if n in decided)

    def _run(self) -> None:
        settings = {"log_level": 0, "error_cb": self._on_error}
        consumer = clients.consumer(for_librdkafka(self._config.broker), "page", settings)
        try:
            while not self._stopped.is_set():
                try:
                    self._follow(consumer)
                except KafkaException as error:
                    self.failure = f"no broker answers: {error.args[0].str()}"
                    self._stopped.wait(LOOK)
        finally:
            consumer.close()

    def _follow(self, consumer: Any) -> None:
        """Read until stopped. Raises KafkaException where no broker answers before the start."""
        if self._added is None:
            places = list(self._beginnings(consumer))
            consumer.assign(places)
            many = (self._topics.receipts, self._topics.results)
            self._added = AddedPartitions(consumer, (at for at in places if at.topic in many))
        look_at = 0.0
        while not self._stopped.is_set():
            self._added.look()
            messages = consumer.consume(BLOCK, 0.2)
            with self.lock:
                for message in messages:
                    if message.error() is None:
                        self._take(message)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK
                for number in range(self.partitions):
                    place = TopicPartition(self._topics.queries, number)
                    self._ends[number] = consumer.get_watermark_offsets(place, ANSWER)[1]
                self.failure = None

    def _take(self, message: Message) -> None:
        try:
            self._handlers[message.topic() or ""](message)
        except (Invalid, NewerFormat) as error:
            logger.debug("%s at %s: %s", message.topic(), message.offset(), error)

    def _beginnings(self, consumer: Any) -> Iterator[TopicPartition]:
        """Where to begin: commands from the first, the newest prices, the rest some minutes ago."""
        topics = self._topics
        yield TopicPartition(topics.control, 0, OFFSET_BEGINNING)
        yield TopicPartition(topics.prices, 0, OFFSET_TAIL_BASE - NEWEST_PRICES)
        past = [TopicPartition(topics.share_reports, 0)]
        for topic in (topics.receipts, topics.results):
            known = consumer.list_topics(topic, timeout=ANSWER).topics[topic].partitions
            past += [TopicPartition(topic, number) for number in sorted(known)]
        embedded = is_embedded(clients.admin(for_librdkafka(self._config.broker)))
        if embedded:  # it keeps little, and cannot look offsets up by time
            yield from (TopicPartition(at.topic, at.partition, OFFSET_BEGINNING) for at in past)
            return
        since = int((time.time() - PAST) * 1000)
        asked = [TopicPartition(at.topic, at.partition, since) for at in past]
        yield from consumer.offsets_for_times(asked, timeout=ANSWER)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.failure = "no broker answers"


def _made(message: Message) -> float:
    """Unix seconds of a record."""
    return float(message.timestamp()[1]) / 1000
