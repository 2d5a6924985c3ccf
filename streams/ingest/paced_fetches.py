"""Leaves a moment between two fetches, so that under load each brings more.

A fetch costs the same whether it brings one record or fifty. A broker answers as soon as there is
one, so under load a router fetched hundreds of times a second, and had no time for what it fetched.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka.consumer import consumer
from aiokafka.consumer.fetcher import Fetcher

PACE = 0.005
"""Seconds between the beginnings of two fetches from a broker, at least. With fewer records than
one in this time a fetch is under way when the next record comes, and nothing waits."""


class PacedFetcher(Fetcher):  # type: ignore[misc]  # aiokafka's types are any
    """aiokafka's fetcher; each of its fetches waits for its turn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next: dict[int, float] = {}

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> Any:
        wait = self._next.get(node_id, 0.0) - time.monotonic()
        if wait > 0:
            try:
                await asyncio.sleep(wait)
            except asyncio.CancelledError:  # as the fetch itself: nobody wants its result
                return False
        self._next[node_id] = time.monotonic() + PACE
        return await super()._proc_fetch_request(assignment, node_id, request)


def install() -> None:
    """Have every aiokafka consumer of this process fetch so."""
    consumer.Fetcher = PacedFetcher
