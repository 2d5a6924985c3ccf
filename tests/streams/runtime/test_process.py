"""What must hold of a process: its parts work together from its start to its end, on a broker."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from faust.types import TP
from msgspec import structs

from schemas import Prices, Receipt, Routed, ShareReport
from schemas.wire import decode, encode
from streams.brokers import Broker
from streams.ingest.chunks import Chunk
from streams.kafka.topics import Topics
from streams.runtime.partition_count import PartitionCount
from streams.runtime.process import Host, RouterProcess
from streams.state.local_tables import Tables
from streams.state.store import MemoryStore
from tests.support.patience import PATIENCE
from tests.support.recorded import FLEET, query, record
from tests.support.records import Records
from tests.support.router_config import router_config, router_parts


class Running:
    """A process without Faust: the test hands over chunks and says what is assigned."""

    def __init__(self, broker: Broker, prefix: str, folder: Path) -> None:
        config = router_config(folder)
        config = structs.replace(
            config,
            broker=structs.replace(config.broker, servers=broker.servers),
            topics=structs.replace(config.topics, prefix=prefix),
        )
        self.topics = Topics(prefix)
        planned = self.topics.planned(FLEET.names, config.topics.partitions, 1)
        counts = {topic.name: topic.partitions for topic in planned}
        broker.create(counts)
        self.records = Records(broker.servers, counts)
        self.assigned = {0}
        count = PartitionCount(planned, self.topics.queries, config.topics.partitions)
        self.rejoined = AsyncMock()
        host = Host(
            lambda: self.assigned,
            lambda _: 5,
            count,
            self.rejoined,
        )
        self.process = RouterProcess(
            config, router_parts(), self.topics, host, Tables(MemoryStore(), MemoryStore())
        )

    async def put(self, *values: bytes) -> Any:
        """Hand over a chunk of queries; return its event."""
        records = [record(i, value, self.topics.queries) for i, value in enumerate(values)]
        for one in records:
            one.timestamp = 0
        chunk = Chunk(records)
        event: Any = SimpleNamespace(acked=False)
        event.message = SimpleNamespace(tp=TP(self.topics.queries, 0), value=chunk)
        event.ack = lambda: setattr(event, "acked", True)
        await self.process.queues["route"].put(event)
        async with asyncio.timeout(PATIENCE):
            while not event.acked:
                await asyncio.sleep(0.01)
        return event

    def sent(self, topic: str) -> list[bytes | None]:
        return [one.value for one in self.records.of(topic)]


@pytest.fixture
async def running(broker: Broker, prefix: str, tmp_path: Path) -> AsyncIterator[Running]:
    made = Running(broker, prefix, tmp_path)
    await made.process.start()
    yield made
    await made.process.revoke()
    await made.process.close()
    made.records.close()


async def test_a_chunk_is_routed_before_it_is_acknowledged(running: Running) -> None:
    """Decided, committed and published; the process knows what it owns."""
    await running.put(query("a"), b"no json")
    (routed,) = running.sent(running.topics.routed("large"))
    assert decode(Routed, routed).id == "a"
    decisions = [decode(Receipt, one).decision for one in running.sent(running.topics.receipts)]
    assert sorted(decisions) == ["rejected", "routed"]  # of two partitions, so in any order
    live = running.process._live()
    assert (len(live.ledgers), live.backlog, live.limits["small"]) == (1, {0: 3}, 1_000)


async def test_a_process_is_ready_while_it_owns_what_it_was_assigned(running: Running) -> None:
    """And its changelog acknowledges; otherwise it says what is missing."""
    assert running.process.not_ready() == ["partition 0 is being claimed"]
    await running.put(query("a"))
    assert running.process.not_ready() == []
    (partition,) = running.process._partitions.owned()
    partition._ownership._due -= 100
    assert running.process.not_ready() == ["partition 0: the changelog is late by 40 seconds"]
    running.assigned = set()
    assert "owns no partition" in running.process.not_ready()[0]


async def test_reports_are_of_assigned_partitions(running: Running) -> None:
    """None is claimed or told of during a rebalance."""
    running.assigned = set()
    await running.process.report()
    assert running.sent(running.topics.share_reports) == []
    running.assigned = {1}
    await running.process.report()
    (told,) = running.sent(running.topics.share_reports)
    assert decode(ShareReport, told).partition == 1


async def test_new_prices_are_followed(running: Running) -> None:
    """Without a restart, and the next receipt names them."""
    state = {"version": 4, "prices": dict.fromkeys(FLEET.names, 0.0)}
    prices = Prices(policy="primal-dual", version=4, state=state, solved_at=1.0)
    batch = running.process._outbox.batch()
    batch.send(running.topics.prices, encode(prices), b"primal-dual", 0)
    await batch.delivered()
    async with asyncio.timeout(PATIENCE):
        while running.process._live().price_version != 4:
            await asyncio.sleep(0.01)
    await running.put(query("a"))
    (receipt,) = running.sent(running.topics.receipts)
    assert decode(Receipt, receipt).price_version == 4


async def test_a_revoked_process_owns_nothing(running: Running) -> None:
    """What is handed over later is claimed anew, by whoever is assigned it."""
    await running.put(query("a"))
    await running.process.expire()
    await running.process.revoke()
    assert running.process._live().ledgers == []


async def test_a_new_index_is_kept_from_the_collector_too(running: Running) -> None:
    """Full collections pass over it, as over the one that it replaces, which is let go."""
    parts = router_parts()
    loaded = [[] for _ in range(10_000)]  # type: ignore[var-annotated]
    before = gc.get_freeze_count()
    running.process._take_index(parts, parts.new_policy())
    assert gc.get_freeze_count() >= before + len(loaded)
