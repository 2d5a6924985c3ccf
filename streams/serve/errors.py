"""Errors as OpenAI words them, so that its clients raise the classes they have for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from schemas.invalid import Invalid
from schemas.wire import MAX_BYTES, decode
from streams.client.answers import Answer
from streams.client.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    ModelFailed,
    QueryError,
    QueryRejected,
)

LONGEST_RETRY = 60
"""Seconds; clients should not retry by themselves what takes longer."""
_REFUSALS = {"too_large": 413, "duplicate": 409}
Kind = TypeVar("Kind")
_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """A request that gets no answer.

    Attributes:
        status: As HTTP has it.
        code: For programs.
        message: A sentence for people.
        param: Path of the field that is wrong, where there is one.
        headers: Beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else None)
        return {
            "error": {
                "message": self.message,
                "type": kind or "invalid_request_error",
                "param": self.param,
                "code": self.code,
            }
        }


def read_as(kind: type[Kind], data: bytes, max_bytes: int = MAX_BYTES) -> Kind:
    """Read the JSON of a request as a `kind`.

    Args:
        kind: What it must be.
        data: The JSON.
        max_bytes: A longer one is refused.

    Raises:
        ApiError: It is none; says what is wrong, and where.
    """
    try:
        return decode(kind, data, max_bytes)
    except Invalid as error:
        status = _REFUSALS.get(error.code, 400)
        raise ApiError(status, error.code, error.reason, error.field) from None


def too_many(code: str, message: str, retry_after: float) -> ApiError:
    """A 429. retry_after: seconds; clients retry by themselves only where that is soon."""
    seconds = max(1, round(retry_after))
    retried = str(seconds <= LONGEST_RETRY).lower()
    headers = {"retry-after": str(seconds), "x-should-retry": retried}
    return ApiError(429, code, message, headers=headers)


def of_answer(answer: Answer) -> ApiError | None:
    """Return the response for an answer that no message could carry; None for any other.

    It is paid for: asking again would pay again.
    """
    lost = answer.result.error
    if lost is None or answer.response is not None:
        return None
    headers = {"x-sluice-id": answer.id, "x-should-retry": "false"}
    words = f"{answer.model} has answered, and its answer is lost: {lost.message}"
    return ApiError(502, lost.code.lower(), words, headers=headers)


def of_query(error: QueryError, retry_after: float) -> ApiError:
    """Return the response for a query that ended without an answer.

    Args:
        error: How it ended.
        retry_after: Seconds until there may be money again.
    """
    headers = {"x-sluice-id": error.id, "x-should-retry": "false"}
    if isinstance(error, BudgetExceeded):
        found = too_many(error.code, error.reason, retry_after)
        found.headers["x-sluice-id"] = error.id
        return found
    if isinstance(error, DeadlineExceeded):
        return ApiError(504, error.code, error.reason, headers=headers)
    if isinstance(error, QueryRejected):
        status = _REFUSALS.get(error.code, 400)
        param = error.field.removeprefix("payload.") if error.field else None
        return ApiError(status, error.code, error.reason, param, headers)
    if isinstance(error, ModelFailed):
        # The worker has retried what may be retried. A refusal is the request's fault.
        status = error.status if error.status in (400, 404, 413, 422) else 502
        code = error.code.lower()
        return ApiError(status, code, error.reason, headers=headers)
    return ApiError(502, error.code, error.reason, headers=headers)
