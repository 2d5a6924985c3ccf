"""Passes over deferred queries whose partition goes, at a stop or a rebalance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streams.brokers import Broker
from streams.state.rows import Position
from tests.streams.routing.test_deferred_retry import FREE, IDS, LATE, WORTHLESS, Waiting
from tests.support.patience import PATIENCE
from tests.support.recorded import query


@pytest.fixture
async def waiting(broker: Broker, prefix: str) -> AsyncIterator[Waiting]:
    made = Waiting(broker, prefix)
    yield made
    await made.close()


async def test_what_a_revoked_process_has_sent_leaves_once(waiting: Waiting) -> None:
    """The end of its last pass is written down before the partition goes."""
    waiting.put(*map(query, IDS), LATE)
    await waiting.look(WORTHLESS)
    await waiting.partition.revoke()
    assert waiting.load().positions["deferred"] == Position(decided=20, published=20)
    await waiting.look(FREE)
    await waiting.partition.revoke()
    waiting.load()
    await waiting.look(FREE)
    assert [routed.id for routed in waiting.routed()] == IDS
    assert len(waiting.receipts()) == 41


async def test_a_pass_under_way_is_waited_for_where_the_partition_goes(waiting: Waiting) -> None:
    """What it has decided leaves, and that is written down; what it has not is the next owner's."""
    waiting.put(*map(query, IDS))
    gate, publish = asyncio.Event(), waiting.pipeline.publish

    async def held(*arguments: Any) -> None:
        await gate.wait()
        await publish(*arguments)

    waiting.pipeline.publish = held  # type: ignore[method-assign,assignment]
    passing = asyncio.create_task(waiting.look(FREE))
    async with asyncio.timeout(PATIENCE):
        while (
            waiting.partition.positions["deferred"].decided < 0 or waiting.partition.lock.locked()
        ):
            await asyncio.sleep(0.01)
        going = asyncio.create_task(waiting.partition.revoke())
        while waiting.partition.owned:
            await asyncio.sleep(0)
        assert not going.done()
        gate.set()
        await asyncio.gather(passing, going)
    assert waiting.load().positions["deferred"] == Position(decided=19, published=19)
    await waiting.look(FREE)
    assert len(waiting.receipts()) == 20


async def test_nothing_counts_as_sent_that_a_revoked_partition_has_not_decided(
    waiting: Waiting,
) -> None:
    """The partition goes between preparing a chunk and deciding it: the next owner decides it."""
    waiting.put(*map(query, IDS))
    prepare = waiting.pipeline.prepare

    async def revoked_meanwhile(*arguments: Any) -> Any:
        prepared = await prepare(*arguments)
        if changes:
            await waiting.partition.revoke()
        changes.append(True)
        return prepared

    changes: list[bool] = []
    waiting.pipeline.prepare = revoked_meanwhile  # type: ignore[method-assign,assignment]
    await waiting.look(FREE)
    assert waiting.partition.positions["deferred"] == Position(decided=-1, published=-1)
