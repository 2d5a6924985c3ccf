"""Failover: a query whose call has failed goes into `deferred`, to be decided for another model.

The settlement of the failed result is committed first, together with a row that says that the query
is to be decided again. Its record is then read where it stands in the log and put into `deferred`,
with the models that have failed it. The commit of the second decision ends that row, and without it
a record is a repetition: so a kill at any moment costs another copy, never another decision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from router.models.pools import served
from schemas import Rejected
from schemas.wire import encode
from streams.kafka.carried import carried_headers
from streams.kafka.logs import LogError, Logs, Record, Span
from streams.kafka.producer import Outbox
from streams.kafka.topics import Topics
from streams.routing.arrivals import FAILOVER, TRIED
from streams.routing.publish import client_headers
from streams.state.partition import Partition
from streams.state.rows import Row

logger = logging.getLogger(__name__)

MOST = 1000
"""Queries that are put into `deferred` together."""
GAP = 5000
"""Records between two queries that are read and passed over; another reader costs as much."""


class Failover:
    """Puts the queries of failed decisions into `deferred`, for the partitions that are owned."""

    def __init__(
        self,
        logs: Logs,
        outbox: Outbox,
        topics: Topics,
        partitions: Callable[[], Sequence[Partition]],
    ) -> None:
        """Args:
        logs: Reads the failed queries' records.
        outbox: Publishes them.
        topics: Where to.
        partitions: Returns those that this process owns.
        """
        self._logs = logs
        self._outbox = outbox
        self._topics = topics
        self._partitions = partitions
        self._sent: dict[int, tuple[Partition, set[str]]] = {}

    async def run(self, every: float) -> None:
        """Look at every partition each `every` seconds."""
        while True:
            for partition in self._partitions():
                await self.follow(partition)
            await asyncio.sleep(every)

    async def follow(self, partition: Partition) -> None:
        """Put what has failed since into `deferred`; what a kill has left undone, too."""
        owner, sent = self._sent.get(partition.number, (None, set()))
        if owner is not partition:  # loaded again: nobody knows what the owner before has sent
            sent = set()
        sent = sent & partition.failovers.keys()
        self._sent[partition.number] = partition, sent
        new = ((id, row) for id, (_, row) in partition.failovers.items() if id not in sent)
        waiting = dict(islice(new, MOST))
        if not waiting:
            return
        try:
            records = await asyncio.to_thread(self._read, waiting)
        except LogError as error:
            logger.warning("failed queries are put off: %s", error)
            return
        async with partition.lock:
            if not partition.owned:
                return
            await partition.confirm()
            gone = [id for id, record in records.items() if record is None]
            batch = self._outbox.batch()
            for id, row in waiting.items():
                if (record := records[id]) is None:
                    batch.send(self._topics.rejected, encode(_gone(row)), row.receipt.id.encode())
                    continue
                headers = [
                    *client_headers(carried_headers(record.headers)),
                    (FAILOVER, id.encode()),
                ]
                if tried := _tried(row):
                    headers.append((TRIED, "\t".join(tried).encode()))
                key = row.receipt.id.encode()
                batch.send(self._topics.deferred, record.value, key, partition.number, headers)
            await batch.delivered()
            for id in gone:
                partition.end_failover(id)
                partition.forget([waiting[id].receipt.id])
            if gone:
                await partition.commit({})
            sent.update(waiting)

    def _read(self, rows: Mapping[str, Row]) -> dict[str, Record | None]:
        """Return the records that decisions were about, None where retention has removed one."""
        found: dict[str, Record | None] = dict.fromkeys(rows)
        wanted: dict[tuple[str, int], dict[int, str]] = {}
        for id, row in rows.items():
            source = row.receipt.source
            wanted.setdefault((source.topic, source.partition), {})[source.offset] = id
        for (topic, number), ids in wanted.items():
            (whole,) = [span for span in self._logs.spans(topic) if span.partition == number]
            for span in _together([o for o in sorted(ids) if whole.start <= o < whole.end], whole):
                for record in self._logs.read([span]):
                    if record.offset in ids:
                        found[ids[record.offset]] = record
        return found


def _together(offsets: Sequence[int], whole: Span) -> list[Span]:
    """Return spans of one partition that hold some offsets, and no more than `GAP` between two."""
    spans: list[Span] = []
    for offset in offsets:
        if spans and offset - spans[-1].end <= GAP:
            spans[-1] = spans[-1]._replace(end=offset + 1)
        else:
            spans.append(whole._replace(start=offset, end=offset + 1))
    return spans


def _tried(row: Row) -> list[str]:
    """Return the models that have failed a query, and pools that were too short for it.

    A model that could not be called has not failed.
    """
    receipt = row.receipt
    if row.returned:
        return receipt.tried
    return [*receipt.tried, served(receipt.model or "", receipt.pool if row.too_long else None)]


def _gone(row: Row) -> Rejected:
    receipt = row.receipt
    return Rejected(
        id=receipt.id,
        code="no_model_allowed",
        reason=f"the call of {receipt.model} failed, and the query's record has left the log: it "
        "cannot go to another model",
        source=receipt.source,
    )
