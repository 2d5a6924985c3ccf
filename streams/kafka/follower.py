"""Follows a compacted topic: reads its content, or its newest records, then every new one.

Every process needs all of `prices` and `control`, whatever partitions it owns, so this is a
consumer without a group (Faust's GlobalTable is not reliable over several instances).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from streams.kafka import clients

OFFSET_TAIL_BASE = -2000
"""librdkafka's RD_KAFKA_OFFSET_TAIL(n) is this less n; Python has no name for it."""

Handle = Callable[[Message], None]


class Follower:
    """Calls `handle` on the event loop for each record of a one-partition topic, in order."""

    def __init__(
        self,
        servers: str,
        topic: str,
        handle: Handle,
        settings: Mapping[str, Any] | None = None,
        newest: int | None = None,
    ) -> None:
        """Start reading.

        Args:
            servers: bootstrap addresses.
            topic: a topic with one partition.
            handle: called on the event loop with each record.
            settings: more of librdkafka's (security).
            newest: how many of the topic's last records to begin with; None for all of them.
        """
        self._loop = asyncio.get_running_loop()
        self._handle = handle
        self._caught_up = asyncio.Event()
        self._stopped = threading.Event()
        connection = {"bootstrap.servers": servers, **(settings or {})}
        self._consumer = clients.consumer(connection, "follower", {"enable.partition.eof": True})
        begin = OFFSET_BEGINNING if newest is None else OFFSET_TAIL_BASE - newest
        self._consumer.assign([TopicPartition(topic, 0, begin)])
        self._thread = threading.Thread(target=self._read, name=f"follow-{topic}", daemon=True)
        self._thread.start()

    async def caught_up(self) -> None:
        """Wait until everything that was in the topic at the start has been handled."""
        await self._caught_up.wait()

    def close(self) -> None:
        """Stop reading."""
        self._stopped.set()
        self._thread.join()
        self._consumer.close()

    def _read(self) -> None:
        while not self._stopped.is_set():
            message = self._consumer.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is None:
                self._loop.call_soon_threadsafe(self._handle, message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._loop.call_soon_threadsafe(self._caught_up.set)
