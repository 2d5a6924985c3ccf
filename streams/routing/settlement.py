"""The way of a result: charge → publish what must go first → commit, chunk by chunk.

A kill before the commit repeats the chunk; after it, the offset that the state record names is
past the chunk, and its records are skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec.structs import replace

from router.budget.charges import claimed_cost, cost_of, most_believed, without_false_usage
from router.models.catalog import ModelCatalog
from schemas import Invalid, Rejected, Result, Source
from schemas.result import (
    FAILED,
    first_decision,
    goes_to_another_model,
    is_too_long,
    read_settlement,
)
from schemas.wire import encode
from streams.kafka.carried import carried_key
from streams.kafka.producer import Headers, Outbox
from streams.kafka.records import ConsumedRecord
from streams.kafka.topics import Topics
from streams.kafka.trace import ids
from streams.metrics.router import Metrics
from streams.routing.feedback import Feedback
from streams.routing.publish import SOURCE_PARTITION, trace_headers
from streams.state.decision_ids import parse_decision_id
from streams.state.partition import Partition
from streams.state.rows import Row, row_key, row_position
from streams.tracing.spans import UNRECORDED, Attributes, Span, of_record, tracer

logger = logging.getLogger(__name__)


class Outgoing(NamedTuple):
    """A message that is about to be published."""

    topic: str
    value: bytes
    key: bytes | None
    headers: Headers = ()


@dataclass(slots=True)
class Charged:
    """A chunk of results after it has been charged in memory.

    Attributes:
        finished: Keys of the rows that the results end, in order.
        failovers: Rows of queries that are to be decided again, by key.
        outgoing: Messages that must be published before the commit.
        counted: Model (or "") and status of each record, for metrics.
        late: Models of answers that came after their reservation had been released, likewise.
        repeated: Models of answers to decisions that have ended already, likewise.
        excess: Model and nano-units of each charge above its reservation, likewise.
        spans: Of each result.
    """

    finished: dict[str, None] = field(default_factory=dict)
    failovers: dict[str, Row] = field(default_factory=dict)
    outgoing: list[Outgoing] = field(default_factory=list)
    counted: list[tuple[str, str]] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    excess: list[tuple[str, int]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)


class Settler:
    """Settles results: reservations become charges in the ledger of their partition."""

    def __init__(
        self,
        catalog: Callable[[], ModelCatalog],
        outbox: Outbox,
        topics: Topics,
        metrics: Metrics,
        attempts: int = 0,
        feedback: Feedback | None = None,
    ) -> None:
        """Args:
        catalog: Returns the models as they are now, with their prices.
        outbox: Publishes rejections and receipts.
        topics: Where to.
        metrics: Counts the results that have been settled.
        attempts: Models that a query whose call has failed may go to after the first.
        feedback: Gathers what answers tell, for the next report; None for nobody.
        """
        self._catalog = catalog
        self._outbox = outbox
        self._topics = topics
        self._metrics = metrics
        self._logs = topics.logs
        self._attempts = attempts
        self._feedback = feedback

    async def settle(self, partition: Partition, records: Sequence[ConsumedRecord]) -> None:
        """Settle a chunk of the topic `results`, skipping what was settled before a kill."""
        async with partition.lock:
            fresh = [record for record in records if record.offset > partition.settled]
            charged = await self.charge(partition, fresh)
            await self.publish(partition, charged.outgoing)
            await self.commit(partition, records[-1].offset, charged if fresh else None)
        for span in charged.spans:
            span.end()
        self._metrics.settled(charged.counted)
        self._metrics.overcharged(charged.late, charged.excess)
        self._metrics.repeated(charged.repeated)

    async def charge(self, partition: Partition, records: Sequence[ConsumedRecord]) -> Charged:
        """Charge results in memory, and gather what must be published before the commit."""
        charged = Charged()
        for record in records:
            refusal, span = None, _span(record)
            charged.spans.append(span)
            try:
                result, refusal = read_settlement(record.value)
                if self._tells_of_a_duplicate(partition, result):
                    continue
                key, row = self._charge(partition, result, charged, record.headers)
            except Invalid as error:
                span.fail(error.code, error.reason)
                charged.outgoing.append(self._rejection(record, refusal or error))
                charged.counted.append(("", "rejected"))
                continue
            if refusal := refusal or _too_dear(result, self._catalog()):
                charged.outgoing.append(self._rejection(record, refusal))
            charged.finished[key] = None
            if self._feedback is not None:
                self._feedback.gather(partition, row.receipt, result)
            failed = result.status_code >= FAILED
            charged.counted.append((result.model, "failed" if failed else "ok"))
            if span is not UNRECORDED:
                span.note(_settled(result, row))
            if failed and not row.is_overdue:
                charged.failovers |= self._fail(partition, key, row, result)
            if not await partition.wait_published(key):
                # A kill has interrupted its publishing. The routed query was published; its
                # receipt, which may not have been, would be lost together with its row.
                receipt, trace = row.receipt, trace_headers(record.headers)
                charged.outgoing.append(
                    Outgoing(self._topics.receipts, encode(receipt), receipt.id.encode(), trace)
                )
        return charged

    async def publish(self, partition: Partition, outgoing: Sequence[Outgoing]) -> None:
        """Publish what changes no state: a kill before the commit repeats it.

        Ownership is confirmed first: a result of a decision that only the next owner knows of must
        not be rejected.
        """
        if not outgoing:
            return
        await partition.confirm()
        batch = self._outbox.batch()
        for one in outgoing:
            batch.send(one.topic, one.value, one.key, headers=one.headers)
        await batch.delivered()

    async def commit(self, partition: Partition, offset: int, charged: Charged | None) -> None:
        """Write the charges and the end of the rows; nothing where no record was fresh."""
        partition.record_settlement(offset)
        if charged is not None:
            await partition.commit(charged.failovers, removed=charged.finished)

    def _fail(self, partition: Partition, key: str, row: Row, result: Result) -> dict[str, Row]:
        """End a query without an answer, or have it decided again: then the row of that."""
        if goes_to_another_model(result, len(row.receipt.tried), self._attempts):
            return partition.record_failover(key, replace(row, too_long=is_too_long(result)))
        partition.forget([result.id])
        return {}

    def _charge(
        self, partition: Partition, result: Result, charged: Charged, headers: Any
    ) -> tuple[str, Row]:
        """Charge one result and return the row that it ends, with its key.

        headers: Of its record.

        Raises Invalid where it answers no open reservation.
        """
        key = self._row_key(partition, result.decision_id)
        found = None if key in charged.finished else partition.row(key)
        if found is None and _has_been_decided(partition, key) and self._knows(result.model):
            charged.repeated.append(result.model)
        row = _reservation(result, found)
        catalog = self._catalog()
        cost = cost_of(result, catalog, row.receipt.reserved)
        excess = partition.charge(row, without_false_usage(result, catalog), cost)
        if row.expired:
            charged.late.append(result.model)
        if excess:
            charged.excess.append((result.model, excess))
            logger.warning(
                "%s charged %d nano-units more than was held for %s: %s",
                result.model,
                excess,
                result.decision_id,
                _why_more(result, row),
                extra=ids(result.decision_id, headers, model=result.model, query_id=result.id),
            )
        return key, row

    def _knows(self, model: str) -> bool:
        return model in self._catalog().index

    def _row_key(self, partition: Partition, decision_id: str) -> str:
        """Return the key of the row that a decision id names.

        Raises Invalid where no router can have given out the id, or this partition did not.
        """
        source = parse_decision_id(decision_id)
        if source is None or source.topic not in self._logs:
            raise Invalid(
                "not_in_flight",
                "decision_id: found a string that no router has given out",
                "decision_id",
            )
        if source.partition != partition.number:
            raise Invalid(
                "not_in_flight",
                f"decision_id: it is of partition {source.partition}, and the result came to "
                f"partition {partition.number}; send it to the partition of {self._topics.results} "
                f"that the header {SOURCE_PARTITION} of the routed message names",
                "decision_id",
            )
        return row_key(self._logs[source.topic], source.offset)

    def _tells_of_a_duplicate(self, partition: Partition, result: Result) -> bool:
        """Return whether a router has sent this itself, to a client that sent an id again."""
        if first_decision(result) is None:
            return False
        row = partition.row(self._row_key(partition, result.decision_id))
        return row is None or row.receipt.model is None

    def _rejection(self, record: ConsumedRecord, error: Invalid) -> Outgoing:
        source = Source(record.topic, record.partition, record.offset)
        rejected = Rejected.of(error, record.value, source)
        return Outgoing(self._topics.rejected, encode(rejected), carried_key(record.key))


def _span(record: ConsumedRecord) -> Span:
    """Begin the span of a result, in the trace of its call, if this process makes any."""
    if not (made := tracer()).is_on:
        return UNRECORDED
    return made.start(
        f"settle {record.topic}",
        "consumer",
        record.headers or (),
        of_record("settle", record.partition, record.offset, record.topic, kind="settle"),
    )


def _settled(result: Result, row: Row) -> Attributes:
    return {
        "sluice.query.id": result.id,
        "sluice.decision.id": result.decision_id,
        "sluice.model": result.model,
        "sluice.status": result.status_code,
        "sluice.reserved": row.receipt.reserved,
        "sluice.late": row.is_overdue,
    }


def _too_dear(result: Result, catalog: ModelCatalog) -> Invalid | None:
    """Return the refusal of a claim that nobody believes; its reservation is charged."""
    claimed = claimed_cost(result, catalog)
    if claimed is None or claimed <= (most := most_believed(result, catalog)):
        return None
    field = "usage" if result.cost is None else "cost"
    return Invalid(
        "invalid_field",
        f"{field}: found a charge of {claimed}, at most {most}; the reservation was charged",
        field,
    )


def _why_more(result: Result, row: Row) -> str:
    """Say why an answer cost more than was reserved for it."""
    if row.expired:
        return "its result came after the deadline"
    usage, allowed = result.usage, row.receipt.max_tokens
    if usage is None or result.cost is not None:
        return "the cost that its worker states is above the reservation"
    if allowed is not None and usage.completion_tokens > allowed:
        return f"it ignored max_tokens ({usage.completion_tokens} tokens, {allowed} allowed)"
    return f"its prompt took {usage.prompt_tokens} tokens, more than were reserved for"


def _has_been_decided(partition: Partition, key: str) -> bool:
    """Return whether a row with this key was there: without it, its decision has ended."""
    log, offset = row_position(key)
    return offset <= partition.positions[log].decided


def _reservation(result: Result, row: Row | None) -> Row:
    """Return the row that a result answers. Raises Invalid where it is another, or none."""
    if row is None or row.receipt.model is None:
        raise Invalid(
            "not_in_flight",
            "decision_id: no reservation is open under it (never made, already settled or expired)",
            "decision_id",
        )
    for field_name, found, wanted in (
        ("decision_id", result.decision_id, row.receipt.decision_id),
        ("id", result.id, row.receipt.id),
        ("model", result.model, row.receipt.model),
    ):
        if found != wanted:
            raise Invalid(
                "not_in_flight",
                f"{field_name}: found {found!r}, the reservation names {wanted!r}",
                field_name,
            )
    return row
