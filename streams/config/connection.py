"""The sections of sluice.toml that say where a deployment is: broker, topics, consumer group.

They stand apart so that a command which needs no more (`sluice health`) loads no more.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from streams.config.loader import read

SHORT = {"broker.servers": "SLUICE_BROKER"}
"""Variables with names of their own, by dotted key."""

Part = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
TopicPrefix = Annotated[str, Meta(max_length=100, pattern=r"^[A-Za-z0-9._-]*(?![\s\S])")]
GroupId = Annotated[str, Meta(max_length=100, pattern=r"^[A-Za-z0-9._-]+(?![\s\S])")]


StoreKind = Literal["memory", "rocksdb"]
"""Where a router keeps the rows of its partitions."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A section of sluice.toml."""


class Broker(Section, frozen=True, kw_only=True):
    """Where Kafka is. security: librdkafka's own keys (security.protocol, sasl.*, ssl.*)."""

    servers: Annotated[str, Meta(min_length=1)] = "127.0.0.1:9092"
    security: dict[str, str | int | float | bool] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Without values: they may be secrets."""
        return f"Broker(servers={self.servers!r}, security={sorted(self.security)})"


class TopicSettings(Section, frozen=True, kw_only=True):
    """Names and sizes of topics. replicas: -1 leaves it to the cluster."""

    prefix: TopicPrefix = ""
    partitions: Annotated[int, Meta(ge=1, le=10_000)] = 3
    model_partitions: Annotated[int, Meta(ge=1, le=10_000)] = 3
    replicas: Annotated[int, Meta(ge=-1, le=100)] = -1


class RouterSettings(Section, frozen=True, kw_only=True):
    """The router's processes.

    id: of the consumer group and the tables; chunk: queries at most; gather_seconds: for which one
    waits at most for those being decided, to be decided with the others that come meanwhile.
    """

    id: GroupId = "sluice"
    chunk: Annotated[int, Meta(ge=1, le=10_000)] = 500
    gather_seconds: Annotated[float, Meta(ge=0, le=10)] = 0.02
    store: StoreKind = "rocksdb"
    data_dir: Path = Path(".sluice")
    session_timeout: Annotated[float, Meta(ge=1, le=90)] = 6.0


class Connection(Section, frozen=True, kw_only=True):
    """Where a deployment is. models: by name, unread."""

    models: dict[str, Any] = field(default_factory=dict)
    broker: Broker = field(default_factory=Broker)
    topics: TopicSettings = field(default_factory=TopicSettings)
    router: RouterSettings = field(default_factory=RouterSettings)


def load_connection(file: Path) -> Connection:
    """Read these sections of a configuration, and leave the others unread.

    Raises ConfigError, as `streams.config.settings.load` does.
    """
    return read(Connection, file, os.environ, SHORT, partly=True)
