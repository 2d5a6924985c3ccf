"""Answers of servers: what is needed is judged strictly, and what is not needed is not judged."""

from __future__ import annotations

import json
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Result, Usage, encode
from schemas.result import read_result
from streams.worker.backends.completion import (
    NoCompletion,
    read_completion,
    read_reason,
    read_retry_after,
    says_too_long,
)

NOW = 1_800_000_000.0
USED = Usage(prompt_tokens=10, completion_tokens=5)
GOOD = b'{"choices":[{"message":{"content":"a"}}],"usage":%s}'


@pytest.mark.parametrize(
    "data",
    [
        GOOD % b'{"prompt_tokens":10,"completion_tokens":5}',
        b"\xef\xbb\xbf" + GOOD % b'{"prompt_tokens":10.0,"completion_tokens":"5"}',
        b'{"choices":[{"message":{"content":"\\ud83d"},"logprobs":[NaN,-Infinity]}],'
        b'"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null}}',
        b'{"choices":[{"message":{"content":"a"}}],"prompt_eval_count":10,"eval_count":5}',
        b'{"choices":[{"message":{"content":"a"}}],"error":null,'
        b'"usage":{"input_tokens":10,"output_tokens":5}}',
    ],
)
def test_good_answers(data: bytes) -> None:
    """They are read, and the router reads the result that is made of them."""
    completion = read_completion(data, 1000)
    assert (completion.usage, completion.failure) == (USED, None)
    check(completion.response)


@pytest.mark.parametrize(
    "usage",
    [
        b"{}",
        b"null",
        b"5",
        b'{"prompt_tokens":10,"completion_tokens":null}',
        b'{"prompt_tokens":-10,"completion_tokens":5}',
        b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}',
        b'{"total_tokens":5000}',
        b'{"prompt_tokens":10,"completion_tokens":4294967295}',
        b'{"prompt_tokens":10,"completion_tokens":100000000000000000}',
        b'{"prompt_tokens":10,"completion_tokens":1e400}',
    ],
)
def test_usage_that_says_nothing(usage: bytes) -> None:
    """The answer is good all the same."""
    completion = read_completion(GOOD % usage, 1000)
    assert (completion.usage, completion.failure) == (None, None)


def test_usage_of_too_few_tokens_for_the_question() -> None:
    """A long question has more tokens than one."""
    data = GOOD % b'{"prompt_tokens":1,"completion_tokens":5}'
    assert read_completion(data, 1000, asked=100).usage is not None
    assert read_completion(data, 1000, asked=1000).usage is None


@pytest.mark.parametrize(
    ("error", "status"),
    [({"message": "x"}, 502), ({"code": 429}, 429), ({"code": "503"}, 503), ("x", 502)],
)
def test_errors_with_a_good_status(error: object, status: int) -> None:
    """They are failures, of the status that they name."""
    silent = {"index": 0, "message": {"role": "assistant", "content": ""}, "error": error}
    forms: list[dict[str, Any]] = [
        {"error": error},
        {"error": error, "choices": []},
        {"error": error, "choices": None},
        {"choices": [silent]},
        {"error": None, "choices": [silent, silent]},
    ]
    for form in forms:
        data = json.dumps(form).encode()
        assert read_completion(data, 1000).failure == status
        assert read_reason(data) == "x" or status in (429, 503)


def test_an_error_after_words() -> None:
    """What was said before it is an answer, and one choice's error is not the others'."""
    broken = {"message": {"content": "It was"}, "error": {"code": 502}}
    for choices in ([broken], [broken, {"message": {"content": ""}, "error": {"code": 502}}]):
        assert read_completion(json.dumps({"choices": choices}).encode(), 1000).failure is None


@pytest.mark.parametrize("data", [b"", b"<html>", b"[1]", b"null", b"{}", b'{"choices": 1}'])
def test_what_is_no_completion(data: bytes) -> None:
    """It is refused."""
    with pytest.raises(NoCompletion):
        read_completion(data, 1000)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0.5 ", 0.5),
        ("-3", 0.0),
        ("86400000", 86_400_000.0),
        (formatdate(NOW + 9, usegmt=True), 9.0),
        (formatdate(NOW - 9, usegmt=True), 0.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 9999 00:00:00 GMT", 1e12),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("5, 10", 10.0),
        ("10, soon", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds or a date of any kind; what is neither is as good as absent."""
    found = read_retry_after({"retry-after": value}, NOW)
    if value.startswith("Mon, 01 Jan 9999 "):
        assert found is not None
        assert found > 1e11
    else:
        assert found == seconds


def test_retry_after_in_milliseconds() -> None:
    """As some servers send it, beside the other."""
    assert read_retry_after({"retry-after": "9", "retry-after-ms": "250"}, NOW) == 0.25


@given(st.text(max_size=40) | st.dates().map(lambda day: f"Mon, {day:%d %b %Y} 00:00:00 +9999"))
def test_any_header(value: str) -> None:
    """None of them is an error."""
    found = read_retry_after({"retry-after": value, "retry-after-ms": value}, NOW)
    assert found is None or found >= 0


@pytest.mark.parametrize("data", [b"0", b"[]", b'"no"', b"null", b'{"error": null}', b"\xff"])
def test_a_reason_in_another_form(data: bytes) -> None:
    """It is shown as it is, or as what JSON says of it."""
    assert read_reason(data)


@given(st.binary(max_size=200))
def test_any_body(data: bytes) -> None:
    """It is read or refused, and gives a reason in any case."""
    with suppress(NoCompletion):
        check(read_completion(data, 1000).response)
    assert read_reason(data)


def test_reasons_tell_no_secret() -> None:
    """What was sent with the request is not passed on."""
    data = b'{"error": {"message": "bad key sk-123"}}'
    assert read_reason(data, ["sk-123"]) == "bad key ***"


def check(response: object) -> None:
    result = Result(id="a", decision_id="d", model="m", status_code=200, response=response)
    assert read_result(encode(result)) == result


@pytest.mark.parametrize(
    ("status", "data", "too_long"),
    [
        (400, b'{"error": {"code": "context_length_exceeded", "message": "x"}}', True),
        (400, b'{"message": "This model\'s maximum context length is 8192 tokens."}', True),
        (400, b'{"error": {"type": "exceed_context_size_error"}}', True),
        (400, b'{"error": {"message": "prompt is too long: 210000 tokens > 200000"}}', True),
        (422, b'{"error": "`inputs` tokens + `max_new_tokens` must be <= 4096"}', True),
        (400, b'{"error": {"message": "The input token count (9) exceeds the maximum"}}', True),
        (400, b'{"error": {"message": "temperature must be at most 2"}}', False),
        (500, b'{"error": {"code": "context_length_exceeded"}}', False),
        (429, b'{"error": {"message": "Request too large for gpt-4o on tokens per min"}}', True),
        (413, b'{"error": {"message": "Request too large for model `m`"}}', True),
        (429, b'{"error": {"message": "Rate limit reached for gpt-4o: context length"}}', False),
        (413, b"<html>Request Entity Too Large</html>", False),
    ],
)
def test_what_does_not_fit_a_context(status: int, data: bytes, too_long: bool) -> None:
    """In the words of the servers in use."""
    assert says_too_long(status, data) is too_long
