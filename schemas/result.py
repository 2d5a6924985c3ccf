"""Topic `results`: what a model answered, and what it used."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct, field

from schemas.fields import Id, Name, Nano, Score
from schemas.invalid import Invalid
from schemas.lenient import read_json
from schemas.query import Metadata
from schemas.usage import Usage, read_usage
from schemas.wire import MAX_BYTES, Message, decode, encode

__all__ = ["DUPLICATE", "FAILED", "Failure", "Result", "Usage", "read_result", "read_settlement"]

FAILED = 300
"""Status codes from here on say that there is no answer."""
DUPLICATE = "DUPLICATE"
"""Error code of what is told to a client that sends an id again: no result of a call."""
DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
"""Error code where the deadline passed before there was an answer (status 504)."""
TOO_LONG = "CONTEXT_LENGTH_EXCEEDED"
"""Error code where a model's server refused a query as longer than its context."""

SERVERS_FAULT = frozenset({401, 403, 404, 408, 425, 429})
"""Status codes below 500 of failures that another server might not have."""


Read = TypeVar("Read", bound=Message)


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
        preferences: Against other models' answers to the same query, by model: 1 where this one is
            preferred, 0.5 for a tie, 0 where the other is.
        response: The model's answer, in any form.
        error: Why there is no answer.
        duration: Seconds from the first call to the end.
        attempts: Calls that were made.
        tenant: As in the query.
        metadata: As in the query.
        custom_id: As in the query.
        cut: The answer ends where the allowed output tokens did.
        pool: As in the routed message: usage is charged at the pool's prices.
    """

    id: Id
    decision_id: Id
    model: Name
    status_code: Annotated[int, Meta(ge=100, le=599)]
    usage: Usage | None = None
    cost: Nano | None = None
    estimated: bool = False
    score: Score | None = None
    preferences: Annotated[dict[Name, Score], Meta(max_length=256)] = field(default_factory=dict)
    response: Any = None
    error: Failure | None = None
    duration: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    attempts: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    tenant: Name | None = None
    metadata: Metadata | None = None
    custom_id: Id | None = None
    cut: bool = False
    pool: Name | None = None


class _Reported(Result, frozen=True, kw_only=True):
    """A result whose usage has not been read yet."""

    usage: Any = None


def read_result(data: bytes | None, max_bytes: int = MAX_BYTES) -> Result:
    """Read one result, with its usage in any form that `read_usage` knows.

    What many writers of JSON let pass is read as a server's answer is (`lenient.read_json`): NaN,
    half a surrogate pair, a byte-order mark, what is nested too deeply. Our own workers send
    nothing that needs it.

    Args:
        data: The message.
        max_bytes: A longer one is refused.

    Returns:
        The result. Its usage is None where it does not say how many tokens were used.

    Raises:
        Invalid: It is not a result.
    """
    reported = _decode(_Reported, data, max_bytes)
    fields = {name: getattr(reported, name) for name in _FIELDS}
    return Result(**fields, usage=read_usage(reported.usage))


_FIRST = "a query of this id is in flight or answered: decision "


def duplicate_of(decision: str | None) -> Failure:
    """Return what a client is told that sends an id again. decision: on the first query."""
    return Failure(code=DUPLICATE, message=f"{_FIRST}{decision}")


def first_decision(result: Result) -> str | None:
    """Return the decision on the first query of an id that was sent again; None for any other."""
    if result.error is None or result.error.code != DUPLICATE:
        return None
    return result.error.message.removeprefix(_FIRST)


def is_too_long(result: Result) -> bool:
    """Return whether a server refused a query as longer than its context."""
    return (
        result.status_code >= FAILED and result.error is not None and result.error.code == TOO_LONG
    )


def is_servers_fault(result: Result) -> bool:
    """Return whether a call failed for a reason that is the server's, not the query's."""
    if is_too_long(result):
        return True  # another may have a longer context
    return result.status_code >= 500 or result.status_code in SERVERS_FAULT


def goes_to_another_model(result: Result, tried: int, attempts: int) -> bool:
    """Return whether the query of a result is decided again, as its call failed.

    Args:
        result: The result.
        tried: Models that had failed the query before.
        attempts: Models that a query may go to after the first (`failover.attempts`).
    """
    return result.status_code >= FAILED and tried < attempts and is_servers_fault(result)


def read_settlement(data: bytes | None) -> tuple[Result, Invalid | None]:
    """Read a result that is to settle its reservation, whatever else is wrong with it.

    Args:
        data: The message.

    Returns:
        The result and None; or, where it is refused for its form but names its decision, a failure
        whose cost nobody knows, and the reason of the refusal.

    Raises:
        Invalid: It does not even name query, decision and model.
    """
    try:
        return read_result(data), None
    except Invalid as refusal:
        try:
            named = _decode(_Named, data, len(data or b""))
        except Invalid:
            raise refusal from None
        unread = Result(
            id=named.id,
            decision_id=named.decision_id,
            model=named.model,
            status_code=502,
            estimated=True,
        )
        return unread, refusal


def _decode(kind: type[Read], data: bytes | None, max_bytes: int) -> Read:
    """Decode a message, as strictly as any, or else leniently where it is an object all the same.

    A field of its own that is given twice stays refused: nobody knows which counts.
    """
    try:
        return decode(kind, data, max_bytes)
    except Invalid as refusal:
        if refusal.code != "invalid_json" or refusal.field is not None or data is None:
            raise
        try:
            value = read_json(data)
        except ValueError:
            raise refusal from None
        if not isinstance(value, dict):
            raise
        mended = encode(value)
        return decode(kind, mended, len(mended))


class _Named(Message, frozen=True, kw_only=True):
    """What names the reservation that a result answers."""

    id: Id
    decision_id: Id
    model: Name


_FIELDS = [name for name in Result.__struct_fields__ if name != "usage"]
