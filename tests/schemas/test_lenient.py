"""JSON as servers send it: read where it can be, and then carried by every message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Result, decode, encode
from schemas.lenient import read_json


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"a": "ä"}'.encode("utf-16"), {"a": "ä"}),
        (b'{"a": "\\ud83d"}', {"a": "\ufffd"}),
        (b'{"\\udc00": "\\ud83d\\ude00"}', {"\ufffd": "\U0001f600"}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a": "two\nlines"}', {"a": "two\nlines"}),
        (b'{"a": [NaN, -Infinity, 1e999, 1.5]}', {"a": [None, None, None, 1.5]}),
        (b'{"a": ' + b"9" * 5000 + b"}", {"a": None}),
    ],
)
def test_what_is_put_right(data: bytes, value: Any) -> None:
    """What a message cannot hold is replaced, and the rest is kept."""
    assert read_json(data) == value


@pytest.mark.parametrize("data", [b"", b"<html>", b'{"a": 1', b"[" * 100_000, b"\x00\x00"])
def test_what_is_not_json(data: bytes) -> None:
    """It is refused, whatever it is, with one kind of error."""
    with pytest.raises(ValueError, match=r"\w"):
        read_json(data)


def test_deep_values_are_cut() -> None:
    """What is nested too deeply for a message becomes null there."""
    deep: Any = "bottom"
    for _ in range(100):
        deep = {"a": deep}
    check(json.dumps(deep).encode())


@given(
    st.binary() | st.text().map(str.encode) | st.from_regex(rb'\{"a": "(\\u[d0][89c]0.){0,4}"\}')
)
def test_any_bytes(data: bytes) -> None:
    """They are refused, or make a value that a message can carry."""
    check(data)


def check(data: bytes) -> None:
    try:
        value = read_json(data)
    except ValueError:
        return
    result = Result(id="a", decision_id="d", model="m", status_code=200, response=value)
    assert decode(Result, encode(result)).response == value
