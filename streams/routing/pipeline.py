"""The way of a query: prepare → decide → commit → publish, chunk by chunk.

A kill may come between any two steps. Before the commit nothing has happened, and the chunk is
decided when it is delivered again. After it the rows say what to publish, whoever is asked: the
same records give the same messages, so publishing them again is harmless.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace

from router.budget.limits import tenants_in_force
from router.budget.windows import Calendar
from streams.kafka.producer import Headers, Outbox
from streams.kafka.records import ConsumedRecord
from streams.kafka.topics import Topics
from streams.kafka.trace import ids
from streams.metrics.router import Metrics, Published
from streams.routing.arrivals import parse
from streams.routing.decide import (
    DecisionContext,
    Hold,
    PreparedChunk,
    decide,
    estimate_together,
    tenants_of,
)
from streams.routing.decider import Decider
from streams.routing.drawing import expected_tokens
from streams.routing.floors import floors_of
from streams.routing.publish import publish
from streams.routing.tracing import UNTRACED, ChunkTrace, Decision
from streams.routing.trial import Trial
from streams.state.partition import Partition
from streams.state.rows import Log, Row, row_key

logger = logging.getLogger(__name__)

SMALL = 512
"""Records of a chunk that is prepared on the event loop where the embedder computes at once: it
takes a tenth of a second at most, and a thread would wait for the interpreter, again and again, for
longer."""


STAGE_OF = {"decide": "decide", "commit": "write_ahead", "publish": "publish"}
"""Names of the steps in the metrics; the time of the first one is taken where it is waited for."""


class DecisionPipeline:
    """Takes the decisions of one log for the partitions that this process owns.

    The runner (`PartitionQueues`, or a pass of `DeferredRetry`) calls `prepare` ahead of time and
    `finish` strictly in order. It keeps no state of its own between two chunks.
    """

    def __init__(
        self,
        log: Log,
        decider: Callable[[], Decider],
        threads: Executor,
        calendar: Calendar,
        outbox: Outbox,
        topics: Topics,
        metrics: Metrics,
        max_waiting: int = sys.maxsize,
        hold: Hold = Hold(600.0),  # noqa: B008  # immutable
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Args:
        log: The log whose records are decided.
        decider: Returns the current one.
        threads: Run embedding and neighbour search of large chunks.
        calendar: Knows the budget windows.
        outbox: Publishes the decisions.
        topics: Where to.
        metrics: Counts the decisions that have been published.
        max_waiting: Deferred queries of a partition at most.
        hold: How long reservations last.
        clock: Returns Unix seconds.
        """
        self._log: Log = log
        self._decider = decider
        self._threads = threads
        self._calendar = calendar
        self._outbox = outbox
        self._topics = topics
        self._metrics = metrics
        self._max_waiting = max_waiting
        self._hold = hold
        self._clock = clock

    async def prepare(
        self, partition: Partition, records: Sequence[ConsumedRecord]
    ) -> PreparedChunk:
        """Parse, embed and estimate the records that this partition has not decided yet."""
        (prepared,) = await self.prepare_together([(partition, records)])
        return prepared

    async def prepare_together(
        self, chunks: Sequence[tuple[Partition, Sequence[ConsumedRecord]]]
    ) -> list[PreparedChunk]:
        """Prepare chunks of different partitions in one call, as `prepare` would one by one."""
        undecided = [
            (records, partition.positions[self._log].decided) for partition, records in chunks
        ]
        count = sum(len(records) for records, _ in undecided)
        if count <= SMALL and self._decider().scorer.embedder.immediate:
            return self._prepare(undecided)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._prepare, undecided
        )

    async def finish(self, partition: Partition, prepared: PreparedChunk) -> None:
        """Decide, commit and publish a prepared chunk; nothing where the partition was revoked."""
        async with partition.lock:
            if not partition.owned:
                return
            while self._is_outdated(partition, prepared):
                prepared = await self.prepare(partition, prepared.records())
            trace = ChunkTrace(prepared.began, prepared.ended)
            with trace.step("decide"):
                decisions = self.decide(partition, prepared)
            with trace.step("commit"):
                await self.commit(partition, decisions)
            earlier = self._earlier_decisions(partition, prepared.redelivered)
        trace.begin(decisions)
        with trace.step("publish"):
            await self.publish(partition, [*earlier, *decisions], trace)
        trace.end()
        self._count(decisions, trace)
        if self._log == "queries":
            for step, seconds in trace.seconds():
                if step in STAGE_OF:
                    self._metrics.stage(STAGE_OF[step], seconds)

    async def would_change(self, partition: Partition, prepared: PreparedChunk) -> bool:
        """Return whether a chunk of waiting queries would be decided otherwise than to wait on.

        Nothing is recorded but what the chunk lacked, which the controller is to hear of.
        """
        async with partition.lock:
            if not partition.owned:
                return False
            while self._is_outdated(partition, prepared):
                prepared = await self.prepare(partition, prepared.records())
            if prepared.redelivered:
                return True  # their messages may have to be published once more
            decider, now, trial = self._decider(), self._clock(), Trial(partition)
            _open_accounts(partition, decider, prepared)
            if partition.roll(self._calendar.begins(now)):
                return True  # to be written before a report tells of it
            rows = decide(prepared, DecisionContext(decider, self._log, now, sys.maxsize), trial)
            if any(row.receipt.decision != "deferred" for row in rows.values()):
                return True
            for account, amount in trial.unmet:
                partition.record_unmet(account, amount)
            return False

    def decide(self, partition: Partition, prepared: PreparedChunk) -> list[Decision]:
        """Decide the fresh arrivals of a chunk and reserve for them, all in memory."""
        if not prepared.arrivals:
            return []
        decider, now = self._decider(), self._clock()
        tenants = _open_accounts(partition, decider, prepared)
        partition.roll(self._calendar.begins(now))
        room = self._max_waiting - partition.waiting
        rows = decide(
            prepared, DecisionContext(decider, self._log, now, room, self._hold), partition
        )
        partition.record_decisions(self._log, rows)
        if self._log == "queries" and prepared.candidates is not None:
            scored, known = prepared.candidates.scored, len(decider.scorer.known)
            tables = [scored.batch.quality, scored.batch.cost]
            if decider.limits.measured:
                tables.append(expected_tokens(scored, decider.scorer.catalog))
            # Prices are for the models of the index.
            floors = floors_of(prepared.candidates.arrivals, decider.floors) or []
            partition.record_arrivals([table[:, :known] for table in tables], tenants, floors)
        return [Decision(each, rows[each.source.offset]) for each in prepared.arrivals]

    async def commit(self, partition: Partition, decisions: Sequence[Decision]) -> None:
        """Write the decisions ahead: from here on they are taken, whatever happens."""
        if decisions:
            await partition.commit(
                {row_key(self._log, arrival.source.offset): row for arrival, row in decisions}
            )

    async def publish(
        self,
        partition: Partition,
        decisions: Sequence[Decision],
        trace: ChunkTrace = UNTRACED,
    ) -> None:
        """Publish committed decisions and wait until the broker has them."""
        if not decisions:
            return
        batch = self._outbox.batch()
        for arrival, row in decisions:
            publish(batch, self._topics, arrival, row, trace.span(arrival))
        await batch.delivered()
        finished = [a.source.offset for a, row in decisions if row.receipt.model is None]
        partition.mark_published(self._log, decisions[-1].arrival.source.offset, finished)

    def _prepare(
        self, chunks: Sequence[tuple[Sequence[ConsumedRecord], int]]
    ) -> list[PreparedChunk]:
        """chunks: the records of each, and the last offset that is decided already."""
        scorer, began = self._decider().scorer, time.time()
        parsed = []
        for records, decided in chunks:
            fresh = [record for record in records if record.offset > decided]
            redelivered = [record for record in records if record.offset <= decided]
            arrivals = parse(fresh, scorer.catalog, scorer.embedder, self._log)
            parsed.append((arrivals, redelivered))
        prepared, ended = estimate_together(scorer, parsed), time.time()
        return [replace(chunk, began=began, ended=ended) for chunk in prepared]

    def _is_outdated(self, partition: Partition, prepared: PreparedChunk) -> bool:
        """Return whether the scorer is another by now, or the chunk was delivered twice and has
        been decided meanwhile."""
        decided, arrivals = partition.positions[self._log].decided, prepared.arrivals
        delivered_twice = bool(arrivals) and arrivals[0].source.offset <= decided
        return delivered_twice or prepared.scorer is not self._decider().scorer

    def _earlier_decisions(
        self, partition: Partition, records: Sequence[ConsumedRecord]
    ) -> list[Decision]:
        """Return the decisions of redelivered records that may not have been published."""
        scorer, found = self._decider().scorer, []
        for record in records:
            if record.offset <= partition.positions[self._log].published:
                continue
            row = partition.row(row_key(self._log, record.offset))
            if row is not None:
                (arrival,) = parse([record], scorer.catalog, scorer.embedder, self._log)
                found.append(Decision(arrival, row))
        return found

    def _count(self, decisions: Sequence[Decision], trace: ChunkTrace) -> None:
        published = (
            Published(arrival.record.timestamp, row.receipt, trace.headers(arrival))
            for arrival, row in decisions
        )
        self._metrics.decided(self._log, published, self._clock())
        if logger.isEnabledFor(logging.DEBUG):
            for arrival, row in decisions:
                _debug(row, trace.headers(arrival))


def _debug(row: Row, headers: Headers) -> None:
    receipt = row.receipt
    what = f"{receipt.decision} {receipt.model or ''}".strip()
    named = ids(receipt.decision_id, headers, query_id=receipt.id)
    logger.debug("%s (%s)", what, receipt.reason, extra=named)


def _open_accounts(
    partition: Partition, decider: Decider, prepared: PreparedChunk
) -> Sequence[str | None]:
    """Have a partition's ledger know the accounts of all tenants that ask, and return these."""
    tenants = () if prepared.candidates is None else tenants_of(prepared.candidates)
    ledger = partition.ledger
    partition.limit_tenants(tenants_in_force(decider.limits, ledger, decider.tenants, tenants))
    return tenants
