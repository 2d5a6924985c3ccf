"""Topics `routed.<model>`: a query on its way to one model."""

from __future__ import annotations

from typing import Any

from schemas.fields import Count, Id, Name, Nano, Source, Tokens, UnixTime
from schemas.query import Metadata, check_one_text
from schemas.wire import Versioned


class Routed(Versioned, frozen=True, kw_only=True):
    """A query on its way to one model.

    Attributes:
        id: The query's id.
        decision_id: The same whenever the query is delivered again.
        model: The model that is to answer.
        pool: The pool of its servers that is to answer, where it has pools.
        max_tokens: Output tokens that money is reserved for. The worker must honour it.
        reserved: Nano-units reserved for the answer.
        policy: The policy that decided.
        source: The query's own record.
        price_version: Version of the prices it was decided with.
        payload: As in the query.
        prompt: As in the query.
        deadline: Unix seconds after which an answer is of no use to the sender.
        start_by: Unix seconds after which no call may start, for its charge could come after
            the reservation is released. Absent in messages of older routers.
        release_at: Unix seconds by which calls must have ended: the router releases the reservation
            `clock_margin` later.
        tenant: As in the query.
        metadata: As in the query.
        custom_id: As in the query.
    """

    id: Id
    decision_id: Id
    model: Name
    max_tokens: Tokens
    reserved: Nano
    policy: Name
    source: Source
    price_version: Count = 0
    payload: dict[str, Any] | None = None
    prompt: str | None = None
    deadline: UnixTime | None = None
    start_by: UnixTime | None = None
    release_at: UnixTime | None = None
    tenant: Name | None = None
    metadata: Metadata | None = None
    custom_id: Id | None = None
    pool: Name | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_text(self.payload, self.prompt)
