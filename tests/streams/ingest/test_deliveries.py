"""What must hold of deliveries: at once where they can be, and given up where the flow ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, patch

import faust
import pytest
from faust.transport.consumer import Consumer as BaseConsumer
from faust.types import TP

from streams.ingest.chunks import Consumer

OTHER = TP("other", 0)


@pytest.fixture
async def consumer(tmp_path: Path) -> Consumer:
    """Our consumer as Faust makes it, for an app that is not started."""
    made = faust.App("deliveries", broker="sluice://127.0.0.1:9", datadir=tmp_path).consumer
    assert isinstance(made, Consumer)
    return made


async def test_a_delivery_races_the_end_of_the_flow(consumer: Consumer) -> None:
    """`_drain_messages` hands `wait_first` the delivery first. One that has to wait is given up
    where the flow ends, as in Faust; one that has not is done without a task."""
    message = SimpleNamespace(offset=1, topic=OTHER.topic)
    fetcher: Any = SimpleNamespace(_stopped=asyncio.Event())
    blocked = asyncio.Event()
    ran: list[str] = []

    async def getmany(timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        yield OTHER, message
        fetcher._stopped.set()

    async def deliver(_: Any) -> None:
        ran.append("begun")
        if blocked.is_set():
            await asyncio.Event().wait()
        ran.append("delivered")

    with (
        patch.object(consumer, "getmany", getmany),
        patch.object(consumer, "callback", deliver),
        patch.object(BaseConsumer, "wait_first", AsyncMock()) as wait_first,
    ):
        await consumer._drain_messages(fetcher)
    wait_first.assert_not_awaited()
    assert ran == ["begun", "delivered"]
    fetcher._stopped.clear()
    blocked.set()
    with (
        patch.object(consumer, "getmany", getmany),
        patch.object(consumer, "callback", deliver),
    ):
        draining = asyncio.create_task(consumer._drain_messages(fetcher))
        while ran[-1] != "begun":
            await asyncio.sleep(0)
        consumer._read_offset[OTHER] = None
        consumer.suspend_flow.set()
        await draining
    assert ran == ["begun", "delivered", "begun"]
