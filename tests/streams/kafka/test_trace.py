"""Trace ids out of headers."""

from __future__ import annotations

import pytest

from streams.kafka.trace import ids, trace_id

PARENT = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def test_the_trace_id_of_a_record() -> None:
    """It is what other systems know the request by."""
    assert trace_id([("x", b"1"), PARENT]) == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("headers", [None, [], [("traceparent", None)], [("traceparent", b"x")]])
def test_no_trace_id(headers: object) -> None:
    """Whatever the headers are."""
    assert trace_id(headers) is None


def test_fields_of_a_log_line() -> None:
    """A missing trace id is left out."""
    assert ids("q-0-1", model="m") == {"decision_id": "q-0-1", "model": "m"}
    assert ids("q-0-1", [PARENT])["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
