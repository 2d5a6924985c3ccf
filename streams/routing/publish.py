"""Messages of a decided record: routed, deferred or rejected, and its receipt."""

from __future__ import annotations

from collections.abc import Iterable

from router.models.pools import served
from schemas import Query, Receipt, Rejected, Result, Routed
from schemas.result import duplicate_of
from schemas.wire import encode
from streams.kafka.carried import TRACE, carried_headers, carried_key
from streams.kafka.producer import Batch, Headers
from streams.kafka.topics import Topics
from streams.routing.arrivals import DECISION_ID, TRIED, Arrival
from streams.state.rows import Row
from streams.tracing.spans import UNRECORDED, Span

SOURCE_PARTITION = "sluice-source-partition"
"""Header that names the partition of `results` where the result of a decision belongs."""


def publish(
    batch: Batch, topics: Topics, arrival: Arrival, row: Row, span: Span = UNRECORDED
) -> None:
    """Add the messages of a decision to a batch.

    The same record and row always give the same messages, but for the trace's headers.

    span: Of the decision; the messages carry its context on.
    """
    receipt, query = row.receipt, arrival.query
    key = receipt.id.encode()
    carried = span.carried(carried_headers(arrival.record.headers))
    headers = [*client_headers(carried), *_decision_headers(receipt)]
    if receipt.decision == "routed" and query is not None:
        topic = topics.routed(served(receipt.model or "", receipt.pool))
        batch.send(topic, encode(_routed(query, row)), key, headers=headers)
    elif receipt.decision == "deferred":
        partition = receipt.source.partition  # where its money and its results are
        tried = [(TRIED, "\t".join(arrival.tried).encode())] if arrival.tried else []
        batch.send(topics.deferred, arrival.record.value, key, partition, [*headers, *tried])
    elif row.refusal is not None:
        rejected = Rejected.of(row.refusal.error(), arrival.record.value, receipt.source)
        batch.send(
            topics.rejected, encode(rejected), carried_key(arrival.record.key), headers=headers
        )
    elif row.duplicate_of is not None:
        partition = receipt.source.partition
        batch.send(topics.results, encode(_duplicate(row)), key, partition, headers)
    trace = trace_headers(carried)
    batch.send(topics.receipts, encode(receipt), key, headers=trace)


def _routed(query: Query, row: Row) -> Routed:
    receipt = row.receipt
    return Routed(
        id=query.id,
        decision_id=receipt.decision_id,
        model=receipt.model or "",
        max_tokens=receipt.max_tokens or 1,
        reserved=receipt.reserved,
        policy=receipt.policy,
        price_version=receipt.price_version,
        source=receipt.source,
        payload=query.payload,
        prompt=query.prompt,
        deadline=query.deadline,
        start_by=row.start_by or None,
        release_at=row.end_by or None,
        tenant=query.tenant,
        metadata=query.metadata,
        custom_id=query.custom_id,
        pool=receipt.pool,
    )


def _duplicate(row: Row) -> Result:
    """Tell a client that an id is in flight or answered; this settles nothing."""
    receipt = row.receipt
    return Result(
        id=receipt.id,
        decision_id=receipt.decision_id,
        model="none",
        status_code=409,
        cost=0,
        error=duplicate_of(row.duplicate_of),
    )


def _decision_headers(receipt: Receipt) -> Headers:
    return [
        ("sluice-decision", receipt.decision.encode()),
        (DECISION_ID, receipt.decision_id.encode()),
        ("sluice-model", (receipt.model or "").encode()),
        ("sluice-policy", receipt.policy.encode()),
        ("sluice-price-version", str(receipt.price_version).encode()),
        (SOURCE_PARTITION, str(receipt.source.partition).encode()),
    ]


def client_headers(headers: Headers) -> Headers:
    """Return the client's headers without ours: a deferred query would collect them."""
    return [(name, value) for name, value in headers if not name.startswith("sluice-")]


def trace_headers(headers: Iterable[tuple[str, bytes]] | None) -> Headers:
    """Return the W3C trace headers, which every message about a query carries."""
    return [(name, value) for name, value in carried_headers(headers) if name in TRACE]
