"""Makes every librdkafka client of this project, so that what they have in common stands once.

`connection` is how a broker is reached: `streams.kafka.security.for_librdkafka` makes it. What
`settings` say wins over the defaults here; both are librdkafka's own keys.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from streams.kafka.presence import CONNECTION_LINES
from streams.kafka.topics import LARGEST_MESSAGE

Settings = Mapping[str, Any]

LOGGER = logging.getLogger("librdkafka")
"""What clients say while they are polled; without it their lines would go to standard error."""
LOGGER.addFilter(CONNECTION_LINES)

_CONSUMER: Settings = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "logger": LOGGER,
    "isolation.level": "read_committed",
    "queued.max.messages.kbytes": 4096,  # of memory; librdkafka's default is 64 MiB
    "fetch.queue.backoff.ms": 10,  # until a queue that was full is fetched for again; else 1000
}
_PRODUCER: Settings = {
    "logger": LOGGER,
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 5,
    "message.max.bytes": LARGEST_MESSAGE,
}


def consumer(connection: Settings, name: str, settings: Settings | None = None) -> Consumer:
    """Make a consumer that joins no group and commits nothing: it reads what it is assigned.

    Args:
        connection: how the broker is reached.
        name: what it is for; librdkafka wants a group's name even where none is joined.
        settings: more of librdkafka's.
    """
    own = {"group.id": f"sluice-{name}", "fetch.wait.max.ms": 100}
    return Consumer({**_CONSUMER, **own, **connection, **(settings or {})})


def group_consumer(connection: Settings, group: str, settings: Settings | None = None) -> Consumer:
    """Make a member of a consumer group, whose offsets are committed by hand only."""
    return Consumer({**_CONSUMER, "group.id": group, **connection, **(settings or {})})


def producer(
    connection: Settings, patience: float = 120.0, settings: Settings | None = None
) -> Producer:
    """Make an idempotent, compressing producer, which takes the longest message that there is.

    Args:
        connection: how the broker is reached.
        patience: seconds in which a record is acknowledged, or reported as refused.
        settings: more of librdkafka's.
    """
    own = {"delivery.timeout.ms": int(patience * 1000)}
    return Producer({**_PRODUCER, **own, **connection, **(settings or {})})


def admin(connection: Settings) -> AdminClient:
    """Make an admin client. It logs nothing: its lines would repeat what our errors say."""
    return AdminClient({**connection, "log_level": 0})
