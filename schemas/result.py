"""Topic `results`: what a model answered, and what it used."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from schemas.fields import Count, Id, Name, Nano, Score
from schemas.wire import Message


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens that an answer used.

    Attributes:
        prompt_tokens: Input tokens, cached ones included.
        completion_tokens: Output tokens, reasoning included.
        cached_tokens: Input tokens that came from a cache.
        reasoning_tokens: Output tokens spent on reasoning.
    """

    prompt_tokens: Count
    completion_tokens: Count
    cached_tokens: Count = 0
    reasoning_tokens: Count = 0


class Failure(Struct, frozen=True, kw_only=True):
    """Why there is no answer.

    Attributes:
        code: For programs.
        message: A sentence for people.
    """

    code: str
    message: str


class Result(Message, frozen=True, kw_only=True):
    """The answer to a routed query, or its failure.

    Attributes:
        id: The query's id.
        decision_id: As in the routed message.
        model: The model that was asked.
        status_code: As in HTTP; below 300 is success.
        usage: Tokens used.
        cost: Nano-units charged by the provider; where left out, usage times price.
        estimated: The cost is the reservation, for what was used is not known.
        score: Quality of the answer, 0 to 1, where it was judged.
        response: The model's answer, in any form.
        error: Why there is no answer.
        duration: Seconds from the first call to the end.
        attempts: Calls that were made.
    """

    id: Id
    decision_id: Id
    model: Name
    status_code: Annotated[int, Meta(ge=100, le=599)]
    usage: Usage | None = None
    cost: Nano | None = None
    estimated: bool = False
    score: Score | None = None
    response: Any = None
    error: Failure | None = None
    duration: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    attempts: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
