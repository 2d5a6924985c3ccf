"""The records of a chunk as queries, or as refusals with a reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from router.estimation.embedders import Embedder
from router.estimation.embedders.given import GivenEmbedder
from router.models.catalog import ModelCatalog
from schemas import Invalid, Query, Source, read_id
from schemas.wire import decode
from streams.state.recent_ids import RecentIds
from streams.state.rows import Log

DECISION_ID = "sluice-decision-id"
"""Header of what leaves for a decision."""


@dataclass(slots=True)
class Arrival:
    """A record of `queries`: its `query` where it could be read, its `refusal` where it failed."""

    record: Any
    source: Source
    query: Query | None = None
    refusal: Invalid | None = None
    duplicate: bool = False

    @property
    def live(self) -> bool:
        """Whether a policy may decide on it."""
        return self.query is not None and self.refusal is None and not self.duplicate

    @property
    def id(self) -> str | None:
        """The query's id, where it can be read."""
        return self.query.id if self.query is not None else read_id(self.record.value)

    @property
    def decision_id(self) -> str:
        """The record's coordinates: the same for every delivery of it, and never used again."""
        return decision_id(self.source)


def decision_id(source: Source) -> str:
    """Name the decision on a record."""
    return f"{source.topic}/{source.partition}/{source.offset}"


def parse(records: Iterable[Any], catalog: ModelCatalog, embedder: Embedder) -> list[Arrival]:
    """Parse and check records. A query may carry its embedding where it has the embedder's
    dimension, and must where the embedder computes none."""
    return [_parse_one(record, catalog, embedder) for record in records]


def _parse_one(record: Any, catalog: ModelCatalog, embedder: Embedder) -> Arrival:
    arrival = Arrival(record, Source(record.topic, record.partition, record.offset))
    try:
        query = decode(Query, record.value)
        _check_models(query, catalog)
        _check_embedding(query, embedder)
        arrival.query = query
    except Invalid as error:
        arrival.refusal = error
    return arrival


def mark_duplicates(arrivals: Iterable[Arrival], recent: RecentIds) -> None:
    """Mark the queries whose id was taken before, or came earlier in the same chunk."""
    live = [arrival for arrival in arrivals if arrival.live]
    seen = recent.seen(arrival.id or "" for arrival in live)
    for arrival, duplicate in zip(live, seen, strict=True):
        arrival.duplicate = duplicate


def mark_repeated(arrivals: Iterable[Arrival], readmitted: dict[Log, int]) -> None:
    """Mark the queries that were put into `deferred` twice, as a kill before it was noted that they
    had left makes happen. Each log defers in the order of its offsets, so what comes from an offset
    that was looked at already is a repetition.

    readmitted: the last such offset by log; moved on to those of `arrivals`.
    """
    for arrival in arrivals:
        deferred_by = _deferred_by(arrival)
        if deferred_by is not None:
            log, offset = deferred_by
            arrival.duplicate = offset <= readmitted[log]
            readmitted[log] = max(readmitted[log], offset)


def _deferred_by(arrival: Arrival) -> tuple[Log, int] | None:
    """Log and offset of the record whose decision put a query into `deferred`."""
    for name, value in arrival.record.headers or ():
        if name == DECISION_ID:
            topic, _, offset = value.decode(errors="replace").rpartition("/")
            again = topic.rpartition("/")[0] == arrival.source.topic
            return ("deferred" if again else "queries", int(offset)) if offset.isdecimal() else None
    return None


def expire(arrivals: Iterable[Arrival], now: float) -> None:
    """Refuse the queries whose deadline has passed. now: Unix seconds."""
    for arrival in arrivals:
        query = arrival.query
        if query is not None and query.deadline is not None and query.deadline <= now:
            late = now - query.deadline
            arrival.refusal = Invalid(
                "deadline_exceeded", f"deadline: it passed {late:.3f} seconds before", "deadline"
            )


def _check_models(query: Query, catalog: ModelCatalog) -> None:
    unknown = [name for name in query.allowed_models or () if name not in catalog.index]
    if unknown:
        raise Invalid(
            "unknown_model",
            f"allowed_models: found {unknown[0]!r}, known models are: {', '.join(catalog.names)}",
            "allowed_models",
        )


def _check_embedding(query: Query, embedder: Embedder) -> None:
    dimension = embedder.dimension
    if query.embedding is None:
        if isinstance(embedder, GivenEmbedder):
            raise Invalid(
                "invalid_embedding",
                f"embedding: found nothing, it must be {dimension} numbers (embedder `given`)",
                "embedding",
            )
    elif len(query.embedding) != dimension:
        raise Invalid(
            "invalid_embedding",
            f"embedding: found {len(query.embedding)} numbers, it must be {dimension}",
            "embedding",
        )
