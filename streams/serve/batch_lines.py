"""The lines of a batch: requests as queries, endings as lines of the output or error file."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec

from schemas.query import Query
from streams.client.answers import Answer, Ending
from streams.client.errors import BudgetExceeded, DeadlineExceeded, QueryError
from streams.serve import chat
from streams.serve.errors import ApiError, of_answer, of_query, read_as
from streams.serve.keys import Caller

LONGEST_WINDOW = 30 * 86_400
"""Seconds: less than results are kept for, from which a run goes on."""
METHOD, URL = "POST", "/v1/chat/completions"
UNEXECUTED = {
    "batch_expired": "the completion window ended before the request was answered",
    "batch_cancelled": "the batch was cancelled before the request was answered",
}
"""OpenAI's codes for requests without a response, and what they mean."""
CANCELLED = ApiError(409, "batch_cancelled", UNEXECUTED["batch_cancelled"])
"""Stands for the ending of requests that a cancelled batch leaves out."""


class Batch(NamedTuple):
    """What all lines of a batch share.

    Attributes:
        id: Begins the ids of its queries.
        caller: Whose requests they are.
        created: Unix seconds.
        window: Seconds from then until answers are of no use.
    """

    id: str
    caller: Caller
    created: float
    window: float

    def query_id(self, number: int) -> str:
        """Return the id of a line's query. number: of the line."""
        return f"{self.id}/{number}"


class Request(NamedTuple):
    """A line, checked. query: None where it is refused; refusal: why."""

    number: int
    custom_id: str | None
    query: Query | None
    refusal: ApiError | None


class _Line(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: dict[str, Any]


class _Named(msgspec.Struct):
    custom_id: str


def read(
    batch: Batch, number: int, line: bytes, models: Collection[str], seen: set[str]
) -> Request:
    """Read and check a line.

    Args:
        batch: Whose line.
        number: Of the line.
        line: Its bytes.
        models: Names that it may ask for.
        seen: The custom_ids of the lines before; this one's is added.
    """
    custom_id = None
    try:
        custom_id = _custom_id(line)
        if custom_id in seen:
            raise ApiError(400, "duplicate_custom_id", "custom_id: given before", "custom_id")
        seen.add(custom_id)
        asked = read_as(_Line, line, len(line))
        if (asked.method, asked.url) != (METHOD, URL):
            raise ApiError(400, "invalid_url", f"it must be {METHOD} {URL}", "url")
        body = msgspec.json.encode({**asked.body, "stream": False})
        left = max(batch.created + batch.window - time.time(), 0.001)
        request = chat.read(body, {}, batch.caller, models, left, batch.query_id(number))
        query = msgspec.structs.replace(request.query, custom_id=custom_id)
    except ApiError as error:
        return Request(number, custom_id, None, error)
    return Request(number, custom_id, query, None)


def _custom_id(line: bytes) -> str:
    custom_id = read_as(_Named, line, len(line)).custom_id
    if not 0 < len(custom_id) <= 256 or not custom_id.isprintable():
        words = "custom_id: it must have 1 to 256 characters, none of them a control character"
        raise ApiError(400, "invalid_field", words, "custom_id")
    return custom_id


def outcome(batch: Batch, request: Request, ending: Ending | ApiError) -> tuple[bool, bytes]:
    """Return whether a request was answered, and its line in the output or error file."""
    id = batch.query_id(request.number)
    line: dict[str, Any] = {"id": id, "custom_id": request.custom_id}
    sluice = {"cost": getattr(ending, "cost", 0)}
    if isinstance(ending, Answer):
        ending = of_answer(ending) or ending
    if isinstance(ending, Answer):
        body = chat.completion(ending, int(time.time()))
        line["response"] = {"status_code": 200, "request_id": id, "body": body}
        return True, msgspec.json.encode({**line, "error": None})
    if (code := _unexecuted(batch, ending)) is not None:
        error = {"code": code, "message": UNEXECUTED[code]}
        line |= {"response": None, "error": error, "sluice": sluice}
        return False, msgspec.json.encode(line)
    refusal = of_query(ending, 1) if isinstance(ending, QueryError) else ending
    body = {**refusal.body, "sluice": sluice}
    line["response"] = {"status_code": refusal.status, "request_id": id, "body": body}
    return False, msgspec.json.encode({**line, "error": None})


def cancelled(number: int, line: bytes) -> Request:
    """Return what becomes of a line that is not asked any more."""
    try:
        custom_id = _custom_id(line)
    except ApiError:
        custom_id = None
    return Request(number, custom_id, None, CANCELLED)


def _unexecuted(batch: Batch, ending: QueryError | ApiError) -> str | None:
    if ending is CANCELLED:
        return "batch_cancelled"
    late = isinstance(ending, BudgetExceeded | DeadlineExceeded)
    return "batch_expired" if late and time.time() >= batch.created + batch.window else None
