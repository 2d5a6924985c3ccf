"""Keys and headers on their way: no record makes a message that the broker refuses."""

from __future__ import annotations

from typing import Any

import pytest

from streams.kafka.carried import MOST_BYTES, carried_headers, carried_key, headers_of

TRACE = ("traceparent", b"00-1")
OWN = ("sluice-model", b"m")


class Record:
    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def headers(self) -> Any:
        if isinstance(self._headers, Exception):
            raise self._headers
        return self._headers


@pytest.mark.parametrize("headers", [[], [TRACE, ("x", None), ("", b"\xff"), ("x", b"again")]])
def test_headers_pass(headers: list[Any]) -> None:
    """Whatever they hold, and also twice."""
    assert list(headers_of(Record(headers))) == headers


def test_no_headers() -> None:
    """None is an empty list."""
    assert list(headers_of(Record(None))) == []


def test_headers_that_are_too_long() -> None:
    """Those of the trace and the router stay, unless they are the long ones."""
    long = ("x", b"x" * MOST_BYTES)
    assert list(carried_headers([TRACE, long, OWN])) == [TRACE, OWN]
    assert list(carried_headers([("tracestate", b"x" * (MOST_BYTES + 1))])) == []


def test_names_that_are_no_text() -> None:
    """They cannot be read, so none is passed on; the record is not to blame."""
    assert list(headers_of(Record(SystemError("returned a result with an exception set")))) == []


def test_keys() -> None:
    """A key that is too long is left out."""
    assert carried_key(b"k" * MOST_BYTES) == b"k" * MOST_BYTES
    assert carried_key(b"k" * (MOST_BYTES + 1)) is None
    assert carried_key(None) is None
