"""When passes over deferred queries come: what they rest after, and what wakes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from router.budget.windows import Calendar
from streams.routing import deferred_retry as module
from streams.routing.deferred_retry import DeferredRetry
from streams.state.reporting import UnmetDemand
from streams.state.rows import Position
from tests.support.patience import PATIENCE


def passes(partitions: Callable[[], Sequence[Any]]) -> DeferredRetry:
    """Passes on a broker that is not there."""
    pipeline: Any = None
    return DeferredRetry("127.0.0.1:1", {}, "deferred", pipeline, partitions, Calendar({}))


async def test_a_pass_that_is_put_off_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a broker earns no rest: passes go on soon after it has come back."""
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    retry = passes(list)
    partition: Any = SimpleNamespace(number=0, positions={"deferred": Position(0, 0)})
    assert not await retry._pass(partition)
    await retry.close()


async def test_room_that_is_granted_is_used_at_once() -> None:
    """The next pass may be far away, and the room be given to others by then."""
    begun = 0

    def partitions() -> Sequence[Any]:
        nonlocal begun
        begun += 1
        return []

    async def reaches(count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while begun < count:
                await asyncio.sleep(0.01)

    retry, unmet = passes(partitions), UnmetDemand(1)
    ledger = SimpleNamespace(free=lambda: np.array([7]))
    partition: Any = SimpleNamespace(unmet=unmet, ledger=ledger)
    running = asyncio.create_task(retry.run(3600.0))
    await reaches(1)
    unmet.add(0, 8)
    retry.granted(partition)
    await asyncio.sleep(0)
    assert begun == 1
    unmet.add(0, 7)
    retry.granted(partition)
    await reaches(2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await retry.close()
