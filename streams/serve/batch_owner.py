"""Says whether this process is the one that runs batches.

The topic `batches` has one partition, and Kafka gives it to one member of a consumer group: to
another one within seconds where a process is killed. Nothing is read or committed here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from streams.kafka import clients

logger = logging.getLogger(__name__)

_SETTINGS = {"session.timeout.ms": 10_000, "log_level": 2}
POLL = 0.5
"""Seconds that a call of the broker's client may take."""


class BatchOwner:
    """A member of the group while the context is open."""

    def __init__(self, connection: Mapping[str, Any], topic: str) -> None:
        """Join nothing yet.

        Args:
            connection: How the broker is reached.
            topic: Names the group, too.
        """
        self._consumer = clients.group_consumer(connection, topic, _SETTINGS)
        self._topic = topic
        self._stopped = threading.Event()
        self._held = threading.Event()
        self._thread = threading.Thread(target=self._stay, name="batch-owner", daemon=True)

    @property
    def held(self) -> bool:
        """Whether this process has the partition, as far as it knows."""
        return self._held.is_set()

    def open(self) -> None:
        """Join."""
        self._thread.start()

    def close(self) -> None:
        """Leave, so that another process goes on at once. Blocks."""
        self._stopped.set()
        self._thread.join()

    def _stay(self) -> None:
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone
        )
        while not self._stopped.is_set():
            message = self._consumer.poll(POLL)
            if message is not None and (error := message.error()) is not None:
                logger.debug("group of batches: %s", error.str())
        self._consumer.close()

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        consumer.assign(places)
        consumer.pause(places)
        if places:
            logger.info("this process runs the batches")
            self._held.set()

    def _gone(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._held.clear()
