"""What must hold of the pipeline: a kill between any two steps changes no decision and no money.

The processes are fakes over one recorded log: each loads its partition from what the changelog has
taken, and is killed at one step, or at one record that it sends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaException

from router.budget.limits import LimitSet
from router.budget.windows import Calendar, Windowing
from router.policies.primal_dual import PrimalDual
from schemas import Receipt
from schemas.wire import decode
from streams.kafka.logs import Record
from streams.routing.decider import Decider
from streams.routing.pipeline import DecisionPipeline
from streams.state.partition import Partition
from streams.state.rows import Position, row_key
from streams.state.store import MemoryStore
from tests.support.recorded import (
    CORE,
    FLEET,
    TOPICS,
    RecordedBatch,
    RecordedOutbox,
    new_ledger,
    new_metrics,
    open_partition,
    query,
    recovered,
)

STEPS = ("prepare", "decide", "commit", "publish", "end")
VALUES = (
    query("a"),
    b"no json",
    query("b"),
    query("a"),
    query("late", deadline=1.0),
    query("c", allowed_models=["small"]),
)
SHARES = (0, 900)
"""Room for some of the queries: others are deferred."""


class Killed(BaseException):
    """In place of the end of the process."""


class MortalOutbox(RecordedOutbox):
    """Takes so many records and no more: the process ends with the next one."""

    def __init__(self, lives: int | None = None) -> None:
        super().__init__()
        self.lives = lives

    def batch(self) -> RecordedBatch:
        return MortalBatch(self)


class MortalBatch(RecordedBatch):
    def __init__(self, outbox: MortalOutbox) -> None:
        super().__init__(outbox)
        self._mortal = outbox

    async def delivered(self) -> int:
        left = self._mortal.lives
        if left is not None and len(self._records) > left:
            del self._records[left:]
            await super().delivered()
            raise Killed
        if left is not None:
            self._mortal.lives = left - len(self._records)
        return await super().delivered()


class Log:
    """What all processes have sent; each loads its partition from it."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self.threads = threads
        self.outbox = MortalOutbox()
        self.now = 1000.0
        self.partition = self.load()

    def load(self) -> Partition:
        """Recover the partition from the changelog, as the next owner does."""
        changelog = self.outbox.of(TOPICS.changelog)
        store = recovered(changelog) if changelog else MemoryStore()
        self.partition = open_partition(self.outbox, store, ledger=new_ledger(SHARES))
        return self.partition

    def pipeline(self, prices: float = 0.0) -> DecisionPipeline:
        """The pipeline of a process; each decides a second later than the one before."""
        self.now += 1.0
        now, policy = self.now, PrimalDual(FLEET)
        policy.restore({"version": 1, "prices": dict.fromkeys(FLEET.names, prices)})
        decider = Decider(
            CORE,
            policy,
            LimitSet.per_model(FLEET.names),
            np.ones(len(FLEET), dtype=np.bool_),
            price_version=1,
        )
        return DecisionPipeline(
            "queries",
            lambda: decider,
            self.threads,
            Calendar({name: Windowing() for name in FLEET.names}),
            self.outbox,
            TOPICS,
            new_metrics(),
            100,
            clock=lambda: now,
        )

    async def run(self, pipeline: DecisionPipeline, last: int = len(VALUES)) -> None:
        """Run the chunk through, as the runner does."""
        records = [
            Record("queries", 0, offset, 999_000, b"k", value, [])
            for offset, value in enumerate(VALUES[:last])
        ]
        prepared = await pipeline.prepare(self.partition, records)
        await pipeline.finish(self.partition, prepared)

    def receipts(self) -> dict[str, set[bytes]]:
        """The different receipts of each decision."""
        found: dict[str, set[bytes]] = defaultdict(set)
        for sent in self.outbox.of(TOPICS.receipts):
            value = sent.value or b""
            found[decode(Receipt, value).decision_id].add(value)
        return found

    def messages(self) -> dict[tuple[str, bytes | None], set[bytes]]:
        """The different messages by topic and decision, without receipts and changelog."""
        found: dict[tuple[str, bytes | None], set[bytes]] = defaultdict(set)
        for sent in self.outbox.sent:
            if sent.topic not in (TOPICS.receipts, TOPICS.changelog):
                decision = dict(sent.headers).get("sluice-decision-id")
                found[sent.topic, decision].add(sent.value or b"")
        return found

    def check(self) -> None:
        """The invariants, on what was sent, and on a partition that is loaded from it."""
        receipts = self.receipts()
        # I1: every query is decided and told, whatever was killed.
        assert sorted(receipts) == [f"queries/0/{offset}" for offset in range(len(VALUES))]
        # I2: each decision is the same in every copy, and so is its message.
        assert all(len(copies) == 1 for copies in receipts.values())
        assert all(len(copies) == 1 for copies in self.messages().values())
        decisions = [decision for _, decision in self.messages()]
        assert len(decisions) == len(set(decisions)), "a decision has two kinds of messages"
        # I3: what is held is what the receipts say, within the shares; here and in the changelog.
        told = [decode(Receipt, value) for copies in receipts.values() for value in copies]
        held = [sum(r.reserved for r in told if r.model == name) for name in FLEET.names]
        for partition in (self.partition, self.load()):
            assert partition.ledger.reserved.tolist() == held
            assert (partition.ledger.reserved <= partition.ledger.share).all()
            assert partition.positions["queries"].decided == len(VALUES) - 1
            for receipt in told:
                row = partition.row(row_key("queries", receipt.source.offset))
                assert row is None or row.receipt == receipt


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def log(threads: ThreadPoolExecutor) -> Log:
    return Log(threads)


def kill_before(step: str, pipeline: DecisionPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the process end before a step; "end" is after the last."""
    name = "_count" if step == "end" else step

    def die(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(pipeline, name, die)


async def test_a_chunk_is_decided_committed_and_published(log: Log) -> None:
    """In this order: rows, then the state, then messages and receipts."""
    await log.run(log.pipeline())
    assert log.partition.positions["queries"] == Position(5, 5)
    log.check()
    assert log.outbox.topics()[0] == TOPICS.changelog
    assert TOPICS.changelog not in log.outbox.topics()[1:]
    told = [decode(Receipt, sent.value) for sent in log.outbox.of(TOPICS.receipts)]
    assert {receipt.decision for receipt in told} == {"routed", "deferred", "rejected", "duplicate"}


@pytest.mark.parametrize("again", STEPS)
@pytest.mark.parametrize("step", STEPS)
async def test_kills_between_two_steps(
    log: Log, step: str, again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes die, each before some step; the third finishes. Later ones have other prices
    and another clock: what was committed is published as it was decided."""
    for prices, at in ((0.0, step), (1.0, again)):
        pipeline = log.pipeline(prices)
        kill_before(at, pipeline, monkeypatch)
        committed = log.outbox.of(TOPICS.changelog)
        # A step that is skipped as there is nothing to do does not end the process.
        with pytest.raises(Killed):
            await log.run(pipeline)
        if STEPS.index(at) <= STEPS.index("commit"):
            assert log.outbox.of(TOPICS.changelog) == committed
        log.load()
    await log.run(log.pipeline())
    log.check()


async def test_kills_at_every_record(threads: ThreadPoolExecutor) -> None:
    """Amid a commit and amid publishing: whatever has been sent, the next process ends it."""
    whole = Log(threads)
    await whole.run(whole.pipeline())
    for lives in range(len(whole.outbox.sent)):
        log = Log(threads)
        log.outbox.lives = lives
        with pytest.raises(Killed):
            await log.run(log.pipeline())
        log.outbox.lives = None
        log.load()
        await log.run(log.pipeline(1.0))
        log.check()


async def test_what_the_changelog_refuses_is_not_published(log: Log) -> None:
    """Nothing leaves, and the next process decides the chunk."""
    log.outbox.refuses = TOPICS.changelog
    with pytest.raises(KafkaException):
        await log.run(log.pipeline())
    assert log.outbox.sent == []
    log.outbox.refuses = None
    log.load()
    await log.run(log.pipeline())
    log.check()


async def test_a_longer_redelivery(log: Log) -> None:
    """What was decided of it is published as it is, and the rest is decided."""
    await log.run(log.pipeline(), 3)
    log.load()
    await log.run(log.pipeline(1.0))
    log.check()


async def test_a_chunk_that_was_prepared_twice_is_decided_once(log: Log) -> None:
    """Two deliveries are prepared ahead; the second finds it decided and sends nothing."""
    pipeline = log.pipeline()
    records = [Record("queries", 0, 0, 999_000, b"k", VALUES[0], [])]
    first = await pipeline.prepare(log.partition, records)
    second = await pipeline.prepare(log.partition, records)
    await pipeline.finish(log.partition, first)
    sent = list(log.outbox.sent)
    await pipeline.finish(log.partition, second)
    assert log.outbox.sent == sent


async def test_another_scorer_estimates_again(log: Log, threads: ThreadPoolExecutor) -> None:
    """A decider that is swapped between preparing and deciding decides by its own estimates."""
    pipeline = log.pipeline()
    records = [Record("queries", 0, 0, 999_000, b"k", VALUES[0], [])]
    prepared = await pipeline.prepare(log.partition, records)
    old = pipeline._decider()
    scorer = CORE.with_newcomers([])
    scorer.index = "another"
    swapped = Decider(scorer, old.policy, old.limits, old.open, price_version=2)
    monkey: Any = pipeline
    monkey._decider = lambda: swapped
    await pipeline.finish(log.partition, prepared)
    (sent,) = log.outbox.of(TOPICS.receipts)
    receipt = decode(Receipt, sent.value)
    assert (receipt.index, receipt.price_version) == ("another", 2)


async def test_a_revoked_partition_decides_nothing(log: Log) -> None:
    """It may be another process's by now."""
    await log.partition.revoke()
    await log.run(log.pipeline())
    assert log.outbox.sent == []
