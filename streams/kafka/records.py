"""Types of records as the clients of Kafka hand them over; no client is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class KeyedRecord(Protocol):
    """A record of a compacted topic, as any of the clients has it."""

    @property
    def offset(self) -> int:
        """Position within the partition."""
        ...

    @property
    def key(self) -> bytes | None:
        """The key of its row."""
        ...

    @property
    def value(self) -> bytes | None:
        """The row; None where it is removed."""
        ...

    @property
    def headers(self) -> Any:
        """Pairs or a mapping of names and bytes, or None."""
        ...


class PartitionRecord(KeyedRecord, Protocol):
    """A record that knows its partition."""

    @property
    def partition(self) -> int:
        """The partition's number."""
        ...


class ConsumedRecord(PartitionRecord, Protocol):
    """An input record of the router: `aiokafka.ConsumerRecord` and `streams.kafka.logs.Record`."""

    @property
    def topic(self) -> str:
        """The topic's name."""
        ...

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]] | None:
        """Pairs of names and bytes, or None."""
        ...
