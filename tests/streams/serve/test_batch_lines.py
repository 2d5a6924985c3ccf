"""Lines of a batch: what is a request, and what is said of its end."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from schemas.result import Failure
from streams.serve.batch_lines import Batch, Request, outcome, read
from streams.serve.keys import Caller
from tests.streams.serve.test_chat import MESSAGES, answer

BATCH = Batch("batch_1", Caller("", "shop"), time.time(), 86_400.0)


def line(**fields: Any) -> bytes:
    asked = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "auto", "messages": MESSAGES},
        **fields,
    }
    return msgspec.json.encode({name: value for name, value in asked.items() if value is not None})


def test_a_request() -> None:
    """A line is a query of the batch's tenant, and its id follows from batch and line."""
    query = read(BATCH, 7, line(), ["small"], set()).query
    assert query is not None
    assert (query.id, query.custom_id, query.tenant) == ("batch_1/7", "a", "shop")
    assert query.payload == {"messages": MESSAGES}
    assert query.deadline == pytest.approx(BATCH.created + 86_400, abs=5)


@pytest.mark.parametrize(
    ("data", "code", "custom_id"),
    [
        (b"{", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (line(custom_id=None), "missing_field", None),
        (line(custom_id=7), "invalid_field", None),
        (line(custom_id=""), "invalid_field", None),
        (line(custom_id="seen"), "duplicate_custom_id", "seen"),
        (line(method="GET"), "invalid_url", "a"),
        (line(url="/v1/embeddings"), "invalid_url", "a"),
        (line(body=None), "missing_field", "a"),
        (line(body=[]), "invalid_field", "a"),
        (line(body={"model": "auto", "x": "x" * 2**21}), "too_large", "a"),
        (line(body={"model": "auto"}), "missing_field", "a"),
        (line(body={"model": "gpt-9", "messages": MESSAGES}), "model_not_found", "a"),
    ],
)
def test_what_is_no_request(data: bytes, code: str, custom_id: str | None) -> None:
    """A refusal has its code, and the custom_id where there is one."""
    request = read(BATCH, 7, data, ["small"], {"seen"})
    assert request.refusal is not None
    assert request.refusal.code == code
    assert request.custom_id == custom_id
    answered, told = outcome(BATCH, request, request.refusal)
    assert not answered
    assert msgspec.json.decode(told)["response"]["body"]["error"]["code"] == code


def test_an_answer() -> None:
    """A line of the output is as OpenAI writes it."""
    answered, data = outcome(BATCH, Request(7, "a", None, None), answer())
    told = msgspec.json.decode(data)
    assert answered
    assert (told["id"], told["custom_id"], told["error"]) == ("batch_1/7", "a", None)
    assert told["response"]["status_code"] == 200
    assert told["response"]["body"]["choices"][0]["message"]["content"] == "hello"


def test_an_answer_that_is_lost() -> None:
    """One that no message could carry is paid for, and stands in the error file."""
    lost = Failure(code="RESPONSE_TOO_LARGE", message="the answer makes a message of 2 MB")
    answered, data = outcome(BATCH, Request(7, "a", None, None), answer(response=None, error=lost))
    told = msgspec.json.decode(data)
    assert not answered
    assert told["response"]["status_code"] == 502
    assert told["response"]["body"]["error"]["code"] == "response_too_large"
    assert told["response"]["body"]["sluice"]["cost"] == 700
