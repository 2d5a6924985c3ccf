"""Errors of queries as responses."""

from __future__ import annotations

import pytest

from streams.client.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    ModelFailed,
    QueryError,
    QueryRejected,
)
from streams.serve.errors import of_query


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BudgetExceeded("q", "budget_exceeded", "no"), 429),
        (DeadlineExceeded("q", "deadline_exceeded", "no"), 504),
        (QueryRejected("q", "invalid_field", "no", "payload.messages"), 400),
        (QueryRejected("q", "too_large", "no"), 413),
        (QueryRejected("q", "duplicate", "no"), 409),
        (ModelFailed("q", "INVALID_REQUEST", "no", 400), 400),
        (ModelFailed("q", "INVALID_REQUEST", "no", 403), 502),
        (ModelFailed("q", "INFERENCE_ERROR", "no", 503), 502),
        (QueryError("q", "other", "no"), 502),
    ],
)
def test_status(error: QueryError, status: int) -> None:
    """Each ending has its status, and names its query."""
    found = of_query(error, 30)
    assert found.status == status
    assert found.headers["x-sluice-id"] == "q"
    assert found.body["error"]["code"] == error.code.lower()


def test_the_field() -> None:
    """A field is named as the request has it."""
    error = of_query(QueryRejected("q", "invalid_field", "no", "payload.messages[0].role"), 1)
    assert error.body["error"]["param"] == "messages[0].role"


@pytest.mark.parametrize(("seconds", "retried"), [(0.2, "true"), (60, "true"), (7200, "false")])
def test_retries(seconds: float, retried: str) -> None:
    """A client retries by itself only where money may come soon; a failed call it never repeats."""
    headers = of_query(BudgetExceeded("q", "budget_exceeded", "no"), seconds).headers
    assert headers["retry-after"] == str(max(1, round(seconds)))
    assert headers["x-should-retry"] == retried
    failed = of_query(ModelFailed("q", "INFERENCE_ERROR", "no", 503), 1)
    assert failed.headers["x-should-retry"] == "false"
