"""Topic `results`: what a model answered, and what it used."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from schemas.fields import Count, Id, Name, Nano, Score
from schemas.wire import Message


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens used. cached_tokens are part of the prompt's, reasoning_tokens of the completion's."""

    prompt_tokens: Count
    completion_tokens: Count
    cached_tokens: Count = 0
    reasoning_tokens: Count = 0


class Failure(Struct, frozen=True, kw_only=True):
    """Why there is no answer. code: a word for programs; message: a sentence for people."""

    code: str
    message: str


class Result(Message, frozen=True, kw_only=True):
    """The end of a query's way.

    status_code: as HTTP has it; cost: nano-units the provider says it cost, else it is usage
    times price; score: 0 to 1 where the answer was judged; duration: seconds; attempts: calls
    that were made for it.
    """

    id: Id
    decision_id: Id
    model: Name
    status_code: Annotated[int, Meta(ge=100, le=599)]
    usage: Usage | None = None
    cost: Nano | None = None
    score: Score | None = None
    response: Any = None
    error: Failure | None = None
    duration: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    attempts: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
