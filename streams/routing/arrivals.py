"""The records of a chunk, parsed: each is a query, or a refusal with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from router.estimation.embedders import Embedder
from router.estimation.embedders.given import GivenEmbedder
from router.models.catalog import ModelCatalog
from schemas import Invalid, Query, Source, read_id
from schemas.content import Content
from schemas.query import unknown_field
from schemas.wire import decode
from streams.kafka.records import ConsumedRecord
from streams.state.decision_ids import decision_id, parse_decision_id
from streams.state.recent_ids import UNKNOWN, RecentIds
from streams.state.rows import Log

DECISION_ID = "sluice-decision-id"
"""Header of the messages of a decision."""
TRIED = "sluice-tried"
"""Header of a record of `deferred`: models that have failed, with tabs between them."""
FAILOVER = "sluice-failover"
"""Header of a record of `deferred` that follows on a failed decision: the id of that one."""


@dataclass(slots=True)
class Arrival:
    """A record to be decided: its `query` where it could be read, its `refusal` where not.

    `content` is what the query holds; `duplicate_of` the decision on an earlier query of its id;
    `tried` the models that have failed before; `failover_of` the last decision that has failed,
    where the record was put into `deferred` for that.
    """

    record: ConsumedRecord
    source: Source
    query: Query | None = None
    content: Content | None = None
    refusal: Invalid | None = None
    duplicate: bool = False
    duplicate_of: str | None = None
    tried: tuple[str, ...] = ()
    failover_of: str | None = None

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
        """The id of the decision on the record."""
        return decision_id(self.source)


def parse(
    records: Iterable[ConsumedRecord],
    catalog: ModelCatalog,
    embedder: Embedder,
    log: Log = "queries",
) -> list[Arrival]:
    """Parse and check records.

    A query may carry its embedding where it has the embedder's dimension, and must carry it where
    the embedder computes none. Of records of `queries`, which clients write, our headers count
    nothing.
    """
    arrivals = [_parse_one(record, catalog, embedder) for record in records]
    for arrival in arrivals:
        if log == "deferred":
            _read_headers(arrival)
        elif arrival.query is not None and (name := unknown_field(arrival.record.value or b"")):
            # Its decision may be an older router's: then it is only published once more.
            arrival.refusal = _unknown(name)
    return arrivals


def _parse_one(record: ConsumedRecord, catalog: ModelCatalog, embedder: Embedder) -> Arrival:
    arrival = Arrival(record, Source(record.topic, record.partition, record.offset))
    try:
        query = decode(Query, record.value)
        _check_models(query, catalog)
        _check_embedding(query, embedder)
        arrival.query, arrival.content = query, query.content()
    except Invalid as error:
        arrival.refusal = error
    return arrival


def _read_headers(arrival: Arrival) -> None:
    for name, value in arrival.record.headers or ():
        if name == TRIED:
            arrival.tried = tuple(value.decode(errors="replace").split("\t"))
        elif name == FAILOVER:
            arrival.failover_of = value.decode(errors="replace")


def _unknown(name: str) -> Invalid:
    return Invalid(
        "unknown_field",
        f"{name}: found a field that no query has; what the model is to read belongs into payload, "
        "anything else into metadata",
        name,
    )


def mark_duplicates(arrivals: Iterable[Arrival], recent: RecentIds) -> None:
    """Mark the queries whose id was taken before, or came earlier in the same chunk.

    Where it is known, each names the decision on the query that has used its id.
    """
    live = [arrival for arrival in arrivals if arrival.live]
    seen = recent.seen(arrival.id or "" for arrival in live)
    first: dict[str, str] = {}
    for arrival, duplicate in zip(live, seen, strict=True):
        arrival.duplicate, id = duplicate, arrival.id or ""
        if not duplicate:
            first[id] = arrival.decision_id
        elif id in first:
            arrival.duplicate_of = first[id]
        elif (offset := recent.offset_of(id)) != UNKNOWN:
            before = Source(arrival.source.topic, arrival.source.partition, offset)
            arrival.duplicate_of = decision_id(before)


class Failovers(Protocol):
    """The queries that are to be decided again, for their calls have failed."""

    def is_failover(self, decision_id: str) -> bool:
        """Return whether the query of a failed decision waits to be decided again."""
        ...

    def end_failover(self, decision_id: str) -> None:
        """Record that it is decided again."""
        ...


def mark_failed_over(arrivals: Iterable[Arrival], failovers: Failovers) -> None:
    """Mark the queries that were put into `deferred` twice after a failed call.

    Each failed decision is followed by one other, whose commit ends what it waits by.
    """
    for arrival in arrivals:
        if arrival.failover_of is not None:
            arrival.duplicate = not failovers.is_failover(arrival.failover_of)
            if not arrival.duplicate:
                failovers.end_failover(arrival.failover_of)


def mark_repeated(arrivals: Iterable[Arrival], retried: Mapping[Log, int]) -> dict[Log, int]:
    """Mark the queries that were put into `deferred` twice.

    That happens when a kill comes before it is recorded that they have been published. Each log
    defers in the order of its offsets, so a query from an offset that was retried already is a
    repetition.

    Args:
        arrivals: Records of `deferred`, in order.
        retried: Of each log, the last offset whose deferred query has been retried.

    Returns:
        `retried`, advanced to the offsets of `arrivals`.
    """
    advanced = dict(retried)
    for arrival in arrivals:
        deferred_by = _deferred_by(arrival)
        if deferred_by is not None:
            log, offset = deferred_by
            arrival.duplicate = offset <= advanced[log]
            advanced[log] = max(advanced[log], offset)
    return advanced


def _deferred_by(arrival: Arrival) -> tuple[Log, int] | None:
    """Return log and offset of the record whose decision put a query into `deferred`."""
    for name, value in arrival.record.headers or ():
        if name == DECISION_ID:
            source = parse_decision_id(value.decode(errors="replace"))
            if source is None:
                return None
            again = source.topic == arrival.source.topic
            return ("deferred" if again else "queries"), source.offset
    return None


def expire(arrivals: Iterable[Arrival], now: float) -> None:
    """Refuse the queries whose deadline is not after `now`, Unix seconds."""
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
