"""A pass over deferred queries: what it asks the broker for, and what it hands on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from confluent_kafka import Producer

from router.budget.limits import LimitSet
from router.budget.windows import Calendar, Windowing
from router.policies.primal_dual import PrimalDual
from schemas import Receipt, Routed
from schemas.fields import Window
from schemas.wire import decode
from streams.brokers import Broker
from streams.kafka.producer import Batch, Outbox
from streams.kafka.topics import Topics
from streams.routing.arrivals import parse
from streams.routing.decide import estimate
from streams.routing.decider import Decider
from streams.routing.deferred_retry import DeferredRetry
from streams.routing.pipeline import DecisionPipeline
from streams.state.partition import Partition
from streams.state.rows import Position, row_key
from streams.state.store import MemoryStore
from tests.support.patience import PATIENCE
from tests.support.recorded import (
    CORE,
    FLEET,
    new_ledger,
    new_metrics,
    open_partition,
    query,
    record,
)
from tests.support.records import Records

WORTHLESS = {"small": 1.0, "large": 1.0}
"""Prices at which no model is worth its cost."""
FREE = {"small": 0.0, "large": 0.0}


class Killed(Exception):
    """In place of the end of the process."""


class Mortal(Outbox):
    """A real outbox that gives out so many more batches as it has `lives`."""

    lives: int | None = None

    def batch(self) -> Batch:
        if self.lives == 0:
            raise Killed
        if self.lives is not None:
            self.lives -= 1
        return super().batch()


class Waiting:
    """Queries that wait in one partition of `deferred` on a broker, and a router's passes."""

    def __init__(self, broker: Broker, prefix: str, window: Window = "none") -> None:
        self.topics, self.now = Topics(prefix), 1000.0
        calendar = Calendar({name: Windowing(window) for name in FLEET.names})
        planned = self.topics.planned(FLEET.names, partitions=2, model_partitions=1)
        counts = {topic.name: topic.partitions for topic in planned}
        broker.create(counts)
        self.records = Records(broker.servers, counts)
        self.producer = Producer({"bootstrap.servers": broker.servers, "log_level": 0})
        self.outbox = Mortal(broker.servers)
        self.threads = ThreadPoolExecutor(1)
        self.store, self.policy = MemoryStore(), PrimalDual(FLEET)
        decider = Decider(
            CORE, self.policy, LimitSet.per_model(FLEET.names), np.ones(len(FLEET), dtype=np.bool_)
        )
        self.pipeline = DecisionPipeline(
            "deferred",
            lambda: decider,
            self.threads,
            calendar,
            self.outbox,
            self.topics,
            new_metrics(),
            10**6,
            clock=lambda: self.now,
        )
        self.owned: dict[int, Partition] = {}
        self.partition = self.load()
        self.passes = DeferredRetry(
            broker.servers,
            {},
            self.topics.deferred,
            self.pipeline,
            lambda: list(self.owned.values()),
            calendar,
            clock=lambda: self.now,
        )

    def load(self) -> Partition:
        """Load the partition from its store, as the next owner does."""
        changelog = self.topics.changelog
        self.partition = open_partition(
            self.outbox, self.store, 1, new_ledger((10**6, 10**6)), changelog
        )
        self.owned[1] = self.partition
        return self.partition

    def put(self, *values: bytes) -> None:
        for value in values:
            self.producer.produce(self.topics.deferred, value, b"k", 1)
        assert self.producer.flush(30) == 0

    async def look(self, prices: dict[str, float]) -> None:
        """One pass with these prices."""
        self.policy.restore({"version": 1, "prices": prices})
        async with asyncio.timeout(PATIENCE):
            await self.passes._pass(self.partition)

    def reservation(self) -> int:
        """Nano-units that the better model holds for one of `IDS`."""
        (arrival,) = parse([record(0, query(IDS[0]))], FLEET, CORE.embedder)
        prepared = estimate(CORE, [arrival])
        assert prepared.candidates is not None
        return int(prepared.candidates.scored.batch.bound[0, 1])

    def routed(self) -> list[Routed]:
        """What was sent to the better model."""
        found = self.records.of(self.topics.routed("large"))
        return [decode(Routed, record.value) for record in found]

    def waiting(self) -> list[str]:
        """Ids in `deferred`, those that have been looked at too."""
        return [record.json()["id"] for record in self.records.of(self.topics.deferred)]

    def receipts(self) -> list[Receipt]:
        found = self.records.of(self.topics.receipts)
        return [decode(Receipt, record.value) for record in found]

    async def close(self) -> None:
        await self.passes.close()
        self.outbox.close()
        self.threads.shutdown()
        self.records.close()


@pytest.fixture
async def waiting(broker: Broker, prefix: str) -> AsyncIterator[Waiting]:
    made = Waiting(broker, prefix)
    yield made
    await made.close()


IDS = [f"q{number}" for number in range(20)]
LATE = query("over", deadline=999.0)
"""Its deadline has passed, so there is something to do for a pass."""


async def test_what_is_worth_its_price_now_is_sent(waiting: Waiting) -> None:
    """In order, each once; money is held for it, and nothing waits any more."""
    waiting.put(*map(query, IDS))
    await waiting.look(FREE)
    assert [routed.id for routed in waiting.routed()] == IDS
    assert waiting.waiting() == IDS
    receipts = waiting.receipts()
    assert sorted(receipt.source.offset for receipt in receipts) == list(range(20))
    assert {receipt.source.topic for receipt in receipts} == {waiting.topics.deferred}
    held = sum(receipt.reserved for receipt in receipts)
    assert waiting.partition.ledger.reserved.tolist() == [0, held]
    assert waiting.partition.waiting == 0
    await waiting.look(FREE)
    assert len(waiting.routed()) == 20


async def test_a_pass_that_changes_nothing_writes_nothing(waiting: Waiting) -> None:
    """No record of `deferred`, no receipt, no commit; what the queries lack is still told."""
    waiting.put(*map(query, IDS))
    for _ in range(3):
        await waiting.look(WORTHLESS)
    assert waiting.waiting() == IDS
    assert waiting.receipts() == []
    assert waiting.partition.sequence == 0
    assert waiting.partition.waiting == 20
    waiting.partition.ledger.share[:] = 1
    await waiting.look(FREE)
    assert waiting.receipts() == []
    assert waiting.partition.unmet.any()
    waiting.partition.ledger.share[:] = 10**6
    await waiting.look(FREE)
    assert [routed.id for routed in waiting.routed()] == IDS


async def test_between_passes_nothing_is_read(waiting: Waiting) -> None:
    """What waits would be fetched anyway, and held in memory."""
    waiting.put(*map(query, IDS))
    for prices in (FREE, WORTHLESS):
        await waiting.look(prices)
        assert waiting.passes._consumer.assignment() == []


async def test_what_is_not_goes_to_the_end_in_its_order(waiting: Waiting) -> None:
    """A pass takes what was there when it began, so it ends; the next one takes the rest."""
    waiting.put(*map(query, IDS), LATE)
    await waiting.look(WORTHLESS)
    assert waiting.waiting() == [*IDS, "over", *IDS]
    assert waiting.partition.positions["deferred"].decided == 20
    assert waiting.partition.waiting == 20
    waiting.put(query("late"))
    await waiting.look(FREE)
    assert [routed.id for routed in waiting.routed()] == [*IDS, "late"]
    assert waiting.partition.waiting == 0


async def test_deadlines_pass_while_queries_wait(waiting: Waiting) -> None:
    """They are rejected where they are looked at, and leave the others their turn."""
    waiting.put(query("old", deadline=999.0), query("new", deadline=1001.0))
    await waiting.look(FREE)
    assert [routed.id for routed in waiting.routed()] == ["new"]
    (rejected,) = waiting.records.of(waiting.topics.rejected)
    assert rejected.json()["code"] == "deadline_exceeded"


@pytest.mark.parametrize("prices", [FREE, WORTHLESS], ids=["sent", "waiting"])
async def test_what_was_decided_before_a_kill_leaves_though_nothing_new_waits(
    waiting: Waiting, prices: dict[str, float]
) -> None:
    """A kill after the changelog had the decisions: the next owner's first pass publishes them,
    as they were decided, whatever prices say now, and no pass after it does."""
    waiting.put(*map(query, IDS), LATE)
    waiting.outbox.lives = 1
    with pytest.raises(Killed):
        await waiting.look(prices)
    waiting.outbox.lives = None
    assert waiting.receipts() == []
    waiting.load()
    await waiting.look(WORTHLESS if prices is FREE else FREE)
    word = "routed" if prices is FREE else "deferred"
    decisions = Counter((receipt.id, receipt.decision) for receipt in waiting.receipts())
    assert decisions == Counter([*((id, word) for id in IDS), ("over", "rejected")])
    assert len(waiting.routed()) == (20 if prices is FREE else 0)
    assert waiting.waiting() == [*IDS, "over", *([] if prices is FREE else IDS)]
    if prices is FREE:
        await waiting.look(FREE)
        assert len(waiting.receipts()) == 21


async def test_what_is_over_is_read_once_more_at_most(waiting: Waiting) -> None:
    """A state that was written before the messages left, and rows that have ended since: a pass
    sees that there is nothing to send, and the next one does not look at them again."""
    waiting.put(*map(query, IDS))
    await waiting.look(FREE)
    again = waiting.load()
    assert again.positions["deferred"] == Position(decided=19, published=-1)
    await again.commit({}, removed=[row_key("deferred", offset) for offset in range(20)])
    await waiting.look(FREE)
    assert again.positions["deferred"] == Position(decided=19, published=19)
    assert len(waiting.receipts()) == 20


async def test_a_pass_ends_where_the_partition_goes(waiting: Waiting) -> None:
    """Another process may own it by now: nothing is decided, and nothing leaves."""
    waiting.put(*map(query, IDS))
    await waiting.partition.revoke()
    await waiting.look(FREE)
    assert waiting.receipts() == []
    assert waiting.partition.positions["deferred"] == Position(decided=-1, published=-1)


async def test_passes_go_on_by_themselves(waiting: Waiting) -> None:
    """`run` looks again at all owned partitions until it is cancelled."""
    waiting.policy.restore({"version": 1, "prices": FREE})
    running = asyncio.create_task(waiting.passes.run(0.01))
    try:
        async with asyncio.timeout(PATIENCE):
            for number, id in enumerate(IDS[:3]):
                waiting.put(query(id))
                while waiting.partition.positions["deferred"].published < number:
                    assert not running.done()
                    await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [routed.id for routed in waiting.routed()] == IDS[:3]


async def test_who_waited_for_a_window_is_first_in_it(broker: Broker, prefix: str) -> None:
    """A minute has room for some; who is left over gets the next one's, in order, before anything
    new is decided. In the same minute, and where nobody waits for it, there is no pass."""
    waiting = Waiting(broker, prefix, "minute")
    try:
        waiting.put(*map(query, IDS))
        waiting.partition.ledger.share[:] = [0, 4 * waiting.reservation()]
        await waiting.look(FREE)
        first = [routed.id for routed in waiting.routed()]
        assert first == IDS[:4]
        for waiting.now in (1000.0, 1019.0):
            await waiting.passes.waiting_first(waiting.partition)
            assert [routed.id for routed in waiting.routed()] == first
        waiting.now = 1020.0
        await waiting.passes.waiting_first(waiting.partition)
        assert [routed.id for routed in waiting.routed()] == IDS[:8]
        decided = waiting.partition.positions["deferred"].decided
        await waiting.passes.waiting_first(waiting.partition)
        assert waiting.partition.positions["deferred"].decided == decided
    finally:
        await waiting.close()


async def test_a_pass_comes_with_the_window(broker: Broker, prefix: str) -> None:
    """`run` rests no longer than until a window ends, however rarely it is to look."""
    waiting = Waiting(broker, prefix, "minute")
    try:
        waiting.now = 1019.5
        assert 0.5 < waiting.passes._until_next_window() < 0.6
        waiting.now = 1020.0
        assert 60.0 < waiting.passes._until_next_window() < 60.1
    finally:
        await waiting.close()
