"""Brokers that this project can start by itself, and the settings to reach any other."""

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
        """Make topics, each with the given number of partitions; return when all are there.

        Raises BrokerError for the first that cannot be made.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
