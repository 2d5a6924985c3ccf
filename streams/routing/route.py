"""Agent `route`: a chunk of queries is estimated, decided, written ahead and published."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from router.budget.windows import Calendar
from router.estimation.scorer import QueryScorer
from router.policies.base import Policy
from streams.control.registry import Registry
from streams.control.reports import Sample
from streams.kafka.producer import Outbox
from streams.kafka.topics import Topics
from streams.metrics.router import Metrics
from streams.routing.arrivals import Arrival, parse
from streams.routing.decide import Context, Estimated, decide, estimate
from streams.routing.publish import publish
from streams.state.expiry import Chunk
from streams.state.partition import Partition
from streams.state.rows import Log, Row, row_key


class Router:
    """Takes decisions for the partitions that this process owns."""

    def __init__(
        self,
        core: QueryScorer,
        policy: Policy,
        outbox: Outbox,
        topics: Topics,
        threads: Executor,
        registry: Registry,
        calendar: Calendar,
        metrics: Metrics,
        log: Log,
        max_waiting: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """threads: run the embedding and the neighbour search, which release the GIL; log: whose
        records are decided; max_waiting: deferred queries of a partition.
        """
        self._registry = registry
        self._calendar = calendar
        self._metrics = metrics
        self._log = log
        self._max_waiting = max_waiting
        self.core = core
        self.policy = policy
        self._outbox = outbox
        self._topics = topics
        self._threads = threads
        self._clock = clock
        self.price_version = 0
        """Version of the `prices` record in use; 0 are the first prices, made from history."""
        self.samples: defaultdict[int, Sample] = defaultdict(Sample)

    async def prepare(self, partition: Partition, records: list[Any]) -> Estimated:
        """Parse, embed and estimate the records that this partition has not decided yet."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._estimate, records, partition.positions[self._log].decided
        )

    def _estimate(self, records: list[Any], decided: int) -> Estimated:
        fresh = [record for record in records if record.offset > decided]
        again = [record for record in records if record.offset <= decided]
        core = self.core
        return estimate(core, parse(fresh, core.catalog, core.embedder), again)

    async def finish(self, partition: Partition, estimated: Estimated) -> None:
        """Decide, write ahead, publish: between any two of them a kill may come."""
        rows: dict[int, Row] = {}
        async with partition.lock:
            if not partition.owned:
                return
            while self._late(partition, estimated) or estimated.core is not self.core:
                records = [*estimated.again, *(each.record for each in estimated.arrivals)]
                estimated = await self.prepare(partition, records)
            arrivals = estimated.arrivals
            if arrivals:
                partition.limit_tenants(self._registry.tenants)
                partition.ledger.roll(self._calendar.begins(self._clock()))
                rows = self._decide(estimated, partition)
                self._note(partition, estimated, rows)
                await partition.commit(
                    {row_key(self._log, offset): row for offset, row in rows.items()}
                )
            again = self._decided_before(partition, estimated.again)
        await self._publish(partition, again + [(a, rows[a.source.offset]) for a in arrivals])
        self._metrics.decided(self._log, arrivals, rows, self._clock())

    def _late(self, partition: Partition, estimated: Estimated) -> bool:
        """Whether records have been decided since they were estimated: a chunk came twice."""
        decided = partition.positions[self._log].decided
        return bool(estimated.arrivals) and estimated.arrivals[0].source.offset <= decided

    def _decide(self, estimated: Estimated, partition: Partition) -> dict[int, Row]:
        context = Context(
            self.core,
            self.policy,
            self.price_version,
            self._clock(),
            self._max_waiting - partition.waiting,
            self._registry.open(self.core.catalog.names),
            partition.recent if self._log == "queries" else None,
            self._registry.version,
        )
        return decide(estimated, context, partition)

    def _note(self, partition: Partition, estimated: Estimated, rows: dict[int, Row]) -> None:
        """Move the partition on by a chunk; what waited before was counted when it arrived."""
        offsets = [arrival.source.offset for arrival in estimated.arrivals]
        partition.positions[self._log].decided = offsets[-1]
        moment = rows[offsets[0]].receipt.decided_at
        partition.deadlines.add(Chunk(moment, self._log, offsets[0], offsets[-1]))
        deferred = sum(row.receipt.decision == "deferred" for row in rows.values())
        partition.waiting += deferred if self._log == "queries" else deferred - len(rows)
        if self._log == "queries":
            taken = (row.receipt for row in rows.values())
            partition.remember(
                receipt.id for receipt in taken if receipt.decision in ("routed", "deferred")
            )
        if self._log == "queries" and estimated.ready is not None:
            batch, known = estimated.ready.prepared.batch, len(self.core.known)
            partition.arrivals += len(batch.ids)
            sample = self.samples[partition.number]
            sample.add(batch.quality[:, :known], batch.cost[:, :known])  # prices are for these

    def _decided_before(
        self, partition: Partition, records: Sequence[Any]
    ) -> list[tuple[Arrival, Row]]:
        """Redelivered records whose messages may not have left: their rows say what to send."""
        open_rows = []
        for record in records:
            if record.offset <= partition.positions[self._log].published:
                continue
            row = partition.row(row_key(self._log, record.offset))
            if row is not None:
                (arrival,) = parse([record], self.core.catalog, self.core.embedder)
                open_rows.append((arrival, row))
        return open_rows

    async def _publish(self, partition: Partition, decided: list[tuple[Arrival, Row]]) -> None:
        if not decided:
            return
        batch = self._outbox.batch()
        for arrival, row in decided:
            publish(batch, self._topics, arrival, row)
        await batch.delivered()
        partition.mark_published(
            self._log,
            decided[-1][0].source.offset,
            [a.source.offset for a, row in decided if row.receipt.model is None],
        )
