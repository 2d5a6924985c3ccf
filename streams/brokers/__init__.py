"""Brokers that this project can start by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self


class Broker(Protocol):
    """A broker that this process started: a context manager that is reachable inside it."""

    @property
    def servers(self) -> str:
        """The bootstrap address, "host:port", on loopback."""
        ...

    def create(self, topics: Mapping[str, int]) -> None:
        """Create topics, each with the given number of partitions; return when all exist.

        Raises:
            BrokerError: for the first that cannot be created.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
