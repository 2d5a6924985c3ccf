"""The topic `batches`: read whole, followed, and written to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from streams.client.errors import ClientError
from streams.config.settings import Config
from streams.kafka import clients
from streams.kafka.admin import no_topic
from streams.kafka.follower import Follower
from streams.kafka.logs import to_record
from streams.kafka.producer import Outbox
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topics
from streams.kafka.waiting import until_answered

ANSWER = 10.0
"""Seconds in which a broker answers for the end of the topic."""

Take = Callable[[str, bytes | None], None]
"""Called with each key and value. Raises msgspec.MsgspecError for what is no record of ours."""


class BatchLog:
    """What this process writes, it has read back when the call returns."""

    def __init__(self, config: Config, take: Take) -> None:
        """Open nothing yet."""
        self._broker = config.broker
        self._topic = Topics(config.topics.prefix).batches
        self._take = take
        self._reached = 0
        self._more = asyncio.Event()
        self._follower: Follower | None = None
        self._outbox: Outbox | None = None
        self._ends: Consumer | None = None

    async def open(self) -> None:
        """Read the topic. Raises ClientError where it is missing."""
        connection = for_librdkafka(self._broker)
        await asyncio.to_thread(self._require, connection)
        servers, security = self._broker.servers, self._broker.security
        self._follower = Follower(servers, self._topic, self._learn, security)
        await self._follower.caught_up()
        self._outbox = Outbox(servers, security)
        self._ends = clients.consumer(connection, "client")

    async def close(self) -> None:
        """Disconnect."""
        for part in (self._outbox, self._follower, self._ends):
            if part is not None:
                await asyncio.to_thread(part.close)

    async def write(self, key: str, value: bytes | None) -> None:
        """Write a record, and wait until this process has read it back."""
        assert self._outbox is not None, "open the log first"
        sent = self._outbox.batch()
        sent.send(self._topic, value, key.encode(), 0)
        await self._read_to(await sent.delivered() + 1)

    async def catch_up(self) -> None:
        """Read what others have written until now."""
        await self._read_to(await asyncio.to_thread(self._end))

    def _require(self, connection: clients.Settings) -> None:
        admin = clients.admin(connection)
        known = until_answered(
            "listing topics", lambda: admin.list_topics(timeout=ANSWER).topics, 3 * ANSWER
        )
        if self._topic not in known:
            raise ClientError(no_topic(self._topic))

    def _learn(self, message: Message) -> None:
        record = to_record(message)
        with suppress(msgspec.MsgspecError):
            self._take((record.key or b"").decode(errors="replace"), record.value)
        self._reached = record.offset + 1
        self._more.set()

    def _end(self) -> int:
        assert self._ends is not None, "open the log first"
        place = TopicPartition(self._topic, 0)
        end: int = self._ends.get_watermark_offsets(place, timeout=ANSWER)[1]
        return end

    async def _read_to(self, offset: int) -> None:
        try:
            async with asyncio.timeout(ANSWER):
                while self._reached < offset:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:  # the broker is slow, or its last records were compacted away
            return
