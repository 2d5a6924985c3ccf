"""What a pass reads, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import time
from types import SimpleNamespace
from typing import Any

import pytest

from router.budget.windows import Calendar, Windowing
from streams.routing import deferred_retry
from streams.routing.deferred_retry import CHUNK, DeferredRetry
from streams.state.reporting import UnmetDemand
from streams.state.rows import Position
from tests.support.patience import PATIENCE


class Log:
    """A partition of `deferred` with `size` records, which gives no more than it is asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.at = 0
        self.asked: list[int] = []

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, self.size

    def assign(self, places: list[Any]) -> None:
        self.at = places[0].offset

    def unassign(self) -> None:
        """Read no more."""

    def consume(self, count: int, _: float) -> list[Any]:
        self.asked.append(count)
        start, self.at = self.at, min(self.at + count, self.size)
        return [message(offset) for offset in range(start, self.at)]


def message(offset: int) -> Any:
    return SimpleNamespace(
        error=lambda: None,
        topic=lambda: "deferred",
        partition=lambda: 0,
        offset=lambda: offset,
        timestamp=lambda: (1, 0),
        key=lambda: b"k",
        value=lambda: b"v",
        headers=lambda: None,
    )


class Router:
    """Decides by moving the position only."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.finishes = asyncio.Event()
        self.let = asyncio.Event()
        self.let.set()

    async def prepare(self, _: Any, records: list[Any]) -> list[int]:
        return [record.offset for record in records]

    async def would_change(self, _: Any, offsets: list[int]) -> bool:
        return True

    async def finish(self, partition: Any, offsets: list[int]) -> None:
        self.finishes.set()
        await self.let.wait()
        self.seen += offsets
        partition.positions["deferred"].decided = offsets[-1]


def looks(
    log: Log, router: Router, calendar: Calendar | None = None, clock: Callable[[], float] = time
) -> tuple[DeferredRetry, Any]:
    """Passes over a partition of which three records have been decided."""
    calendar = calendar or Calendar({})
    partition: Any = SimpleNamespace(
        number=0,
        owned=True,
        waiting=0,
        positions={"deferred": Position(decided=2, published=2)},
        mark_published=lambda *_: None,
        record_waiting=lambda _: None,
        waits_for_new_window=lambda _: True,
        unmet=UnmetDemand(1),
    )
    pipeline: Any = router
    passes = DeferredRetry(
        "127.0.0.1:1", {}, "deferred", pipeline, lambda: [partition], calendar, clock
    )
    passes._consumer.close()
    passes._consumer = log  # type: ignore[assignment]
    return passes, partition


async def test_a_pass_asks_for_no_more_than_there_is() -> None:
    """Asked for more, librdkafka waits a second for it. A look ends with the first chunk that would
    change; then each record is decided once, and the last chunk is as small as the rest."""
    log, router = Log(2 * CHUNK + 7), Router()
    passes, partition = looks(log, router)
    await passes._pass(partition)
    assert log.asked == [CHUNK, CHUNK, CHUNK, 4]
    assert router.seen == list(range(3, log.size))


async def test_a_pass_that_is_interrupted_ends_with_its_chunk() -> None:
    """Whoever waited for it decides nothing new, and no other pass begins before the end of it."""
    log, router = Log(4 * CHUNK), Router()
    passes, partition = looks(log, router)
    router.let.clear()
    waiting = asyncio.create_task(passes.waiting_first(partition))
    await router.finishes.wait()
    another = asyncio.create_task(passes._pass(partition))
    async with AsyncExitStack() as stack:
        interrupting = asyncio.create_task(stack.enter_async_context(passes.interrupted()))
        await asyncio.sleep(0)
        router.let.set()
        await interrupting
        assert router.seen == list(range(3, 3 + CHUNK))
        assert not waiting.done()
        waiting.cancel()
    assert await another is False
    await passes._pass(partition)
    assert router.seen[-1] == log.size - 1


async def test_a_window_that_begins_ends_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the pass before it took."""
    monkeypatch.setattr(deferred_retry, "REST", 1e9)
    log, begun = Log(CHUNK), asyncio.get_running_loop().time()
    calendar = Calendar({"small": Windowing("minute")})
    passes, _ = looks(
        log, Router(), calendar, lambda: 59.9 + asyncio.get_running_loop().time() - begun
    )
    running = asyncio.create_task(passes.run(1e9))
    async with asyncio.timeout(PATIENCE):
        while len(log.asked) < 4:  # a look and a pass, twice
            await asyncio.sleep(0.01)
    running.cancel()
