"""One router of a deployment in memory: the real parts, on an outbox that fails where told to.

A process that dies comes back from its changelog, and gets once more what it has not acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from confluent_kafka import KafkaError, KafkaException

from router.budget.holdings import holdings
from router.budget.ledger import Ledger
from schemas import Result
from schemas.wire import encode
from streams.control.grants import Grants
from streams.control.reports import report
from streams.kafka.logs import Logs, Record, Span
from streams.kafka.starts import Calls
from streams.routing.decide import Hold
from streams.routing.expiration import Expirer
from streams.routing.failover import Failover
from streams.routing.pipeline import DecisionPipeline
from streams.routing.settlement import Settler
from streams.state.ownership import Ownership
from streams.state.partition import Partition
from streams.state.rows import Row
from streams.state.store import MemoryStore
from tests.support.recorded import (
    TOPICS,
    RecordedBatch,
    RecordedOutbox,
    Unfenced,
    new_metrics,
    recovered,
)

if TYPE_CHECKING:
    from tests.support.deployment import Deployment

PARTITIONS = 2
SECONDS = 60.0
"""For which reservations last."""
ATTEMPTS = 1


class CutOutbox(RecordedOutbox):
    """Takes `left` more records and then none; None for any number."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def batch(self) -> RecordedBatch:
        return _CutBatch(self)


class _CutBatch(RecordedBatch):
    _outbox: CutOutbox

    async def delivered(self) -> int:
        for sent in self._records:
            if self._outbox.left == 0:
                raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))
            if self._outbox.left is not None:
                self._outbox.left -= 1
            self._outbox.sent.append(sent)
        return len(self._outbox.sent) - 1 if self._records else -1


class _Counting(Partition):
    """Tells what is charged above the reservations."""

    def __init__(
        self, ledger: Ledger, ownership: Ownership, excess: dict[tuple[str, str], int]
    ) -> None:
        super().__init__(ledger, ownership)
        self._excess = excess

    def charge(self, row: Row, result: Result, cost: int) -> int:
        for part in holdings(row.receipt):
            held = 0 if row.expired else part.amount
            over = max(part.charge(result, cost) - held, 0)
            self._excess[part.account, row.receipt.decision_id] = over
        return super().charge(row, result, cost)


class _Logs:
    """The queries of a partition, as a failover reads them."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def spans(self, topic: str) -> list[Span]:
        records = self._process.log(topic)
        return [Span(topic, self._process.number, 0, len(records))]

    def read(self, spans: Iterable[Span]) -> Iterator[Record]:
        for span in spans:
            yield from self._process.log(span.topic)[span.start : span.end]


class Process:
    """One partition, and the process that owns it.

    Size: it stands for a process that has as many parts.
    """

    def __init__(self, number: int, deployment: Deployment) -> None:
        self.number = number
        self._deployment = deployment
        self.outbox = CutOutbox()
        self.queries: list[Record] = []
        self.results: list[Record] = []
        self.begun: set[str] = set()
        """Ids of decisions that a worker has begun a call for."""
        self.returned: set[str] = set()
        """Ids of those that one has given back."""
        self.excess: dict[tuple[str, str], int] = {}
        """By account and decision, what was charged above what was reserved for it."""
        self._acknowledged = {"queries": 0, "results": 0, "grants": 0}
        self._collected = 0

    async def start(self) -> None:
        """Load the partition from its changelog, with all commands and prices there are."""
        deployment, self.outbox.left = self._deployment, None
        self.control = deployment.new_control()
        changelog = self.outbox.of(TOPICS.changelog)
        store = recovered(changelog, self.number) if changelog else MemoryStore()
        ledger = self.control.new_ledger(self.number, PARTITIONS)
        owned = Unfenced(store, self.outbox, self.number, TOPICS.changelog)
        self.partition = _Counting(ledger, owned, self.excess)
        self.partition.apply_control(self.control.registry.version)
        self.partition.record_division(PARTITIONS)
        self._pipeline = {log: self._new_pipeline(log) for log in ("queries", "deferred")}
        self._settler = Settler(self._catalog, self.outbox, TOPICS, new_metrics(), ATTEMPTS)
        calendar = self.control.calendar
        self._expirer = Expirer(self.outbox, TOPICS, SECONDS, calendar.begins, self._calls)
        logs = cast(Logs, _Logs(self))
        self._failover = Failover(logs, self.outbox, TOPICS, lambda: [self.partition])
        if not self.partition.sequence:
            await self.partition.commit({})

    def follow(self) -> None:
        """Follow the commands and prices that have come."""
        for name, command in self._deployment.follow(self.control).items():
            self.partition.add_model(name, command.carry_over)
        self.partition.apply_control(self.control.registry.version)

    async def route(self, values: Sequence[bytes]) -> None:
        """Decide a chunk of queries, and any before it that was not acknowledged."""
        self.queries += self._records(TOPICS.queries, self.queries, values)
        if self.partition.waits_for_new_window(self.control.calendar.begins(self._clock())):
            await self.retry()
        fresh = self.queries[self._acknowledged["queries"] :]
        if fresh:
            await self._finish("queries", fresh)
        self._acknowledged["queries"] = len(self.queries)

    async def retry(self) -> None:
        """Pass over the queries that wait."""
        records, position = self.log(TOPICS.deferred), self.partition.positions["deferred"]
        self.partition.record_waiting(len(records) - position.decided - 1)
        waiting = records[position.published + 1 :]
        if not waiting:
            return
        pipeline = self._pipeline["deferred"]
        prepared = await pipeline.prepare(self.partition, waiting)
        if await pipeline.would_change(self.partition, prepared):
            await self._finish("deferred", waiting)
            self.partition.mark_published("deferred", waiting[-1].offset, [])

    async def settle(self, values: Sequence[bytes]) -> None:
        """Settle a chunk of results, and any before it that was not acknowledged."""
        self.results += self._records(TOPICS.results, self.results, values)
        self._collect()
        fresh = self.results[self._acknowledged["results"] :]
        if fresh:
            await self._settler.settle(self.partition, fresh)
        self._acknowledged["results"] = len(self.results)
        await self._failover.follow(self.partition)

    async def expire(self) -> None:
        """End what is due."""
        await self._expirer.expire(self.partition, self._clock())
        await self._failover.follow(self.partition)

    def report(self) -> bytes:
        """Tell the controller of the partition."""
        self.partition.limit_tenants(self.control.in_force(self.partition.ledger))
        return encode(report(self.partition, self.control.decider.scorer.known.names))

    async def take_grants(self) -> None:
        """Take the grants that have come."""
        records = self._deployment.grants(self.number)
        fresh = records[self._acknowledged["grants"] :]
        if fresh:
            await Grants(self.outbox, TOPICS).take(self.partition, fresh)
        self._acknowledged["grants"] = len(records)

    def open(self) -> list[Row]:
        """Return the rows of all reservations, released or not, that no result has come for."""
        found = [self.partition.row(key) for key in dict.fromkeys(self._keys())]
        return [row for row in found if row is not None and row.receipt.model is not None]

    def log(self, topic: str) -> list[Record]:
        """Return the records of this partition of a topic."""
        if topic == TOPICS.queries:
            return self.queries
        return [
            Record(topic, self.number, offset, 0, sent.key, sent.value, list(sent.headers))
            for offset, sent in enumerate(self.outbox.of(topic))
        ]

    async def _finish(self, log: str, records: Sequence[Record]) -> None:
        pipeline = self._pipeline[log]
        await pipeline.finish(self.partition, await pipeline.prepare(self.partition, records))

    def _new_pipeline(self, log: Any) -> DecisionPipeline:
        return DecisionPipeline(
            log,
            lambda: self.control.decider,
            self._deployment.threads,
            self.control.calendar,
            self.outbox,
            TOPICS,
            new_metrics(),
            hold=Hold(SECONDS, 5.0),
            clock=self._clock,
        )

    def _keys(self) -> Iterator[str]:
        for sent in self.outbox.of(TOPICS.changelog):
            if sent.key is not None and sent.key[:1] in (b"q", b"d") and sent.value:
                yield sent.key.decode()

    def _catalog(self) -> Any:
        return self.control.decider.scorer.catalog

    def _calls(self, *_: float) -> Calls:
        return Calls(self.begun, self.returned)

    def _clock(self) -> float:
        """Tell the time, which goes on a little: no two chunks are decided at one moment."""
        self._deployment.now += 0.001
        return self._deployment.now

    def _records(self, topic: str, before: list[Record], values: Iterable[bytes]) -> list[Record]:
        return [
            Record(topic, self.number, len(before) + i, 0, b"k", value, [])
            for i, value in enumerate(values)
        ]

    def _collect(self) -> None:
        """Read the results that this router has sent itself."""
        sent = self.outbox.of(TOPICS.results)
        values = [one.value or b"" for one in sent[self._collected :]]
        self._collected = len(sent)
        self.results += self._records(TOPICS.results, self.results, values)
