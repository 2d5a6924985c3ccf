"""Waiting for one query: who ends it first. (With a broker: test_asynchronous.)"""

from __future__ import annotations

import asyncio

from schemas import Query
from streams.client.errors import QueryError
from streams.client.pending import Pending


async def test_the_first_ending_counts() -> None:
    """All who wait get the first ending, and one that gives up takes it from nobody."""
    pending = Pending(Query(id="a", prompt="b"))
    waiters = [asyncio.create_task(pending.ended(None)) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    pending.deferred.set()
    await asyncio.sleep(0)
    first = QueryError("a", "x", "y")
    pending.end(first)
    pending.end(QueryError("a", "z", "z"))
    assert await asyncio.gather(*waiters[1:]) == [first, first]
