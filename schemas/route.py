"""Topics `routed.<model>`: a query on its way to one model."""

from __future__ import annotations

from typing import Any

from schemas.fields import Count, Id, Name, Nano, Source, Tokens, UnixTime
from schemas.query import Metadata, check_one_text
from schemas.wire import Message


class Routed(Message, frozen=True, kw_only=True):
    """What a model worker answers.

    max_tokens: the output tokens that were reserved, which the worker must honour;
    reserved: nano-units held for the answer; price_version: of the prices it was decided with;
    source: the query's own record. The rest is the query's, carried through.
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
    tenant: Name | None = None
    metadata: Metadata | None = None
    custom_id: Id | None = None

    def __post_init__(self) -> None:
        check_one_text(self.payload, self.prompt)
