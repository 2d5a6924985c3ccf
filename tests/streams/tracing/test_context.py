"""What is sent during a piece of work carries its trace."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from streams.tracing.context import carrying, current, for_http, of_http, trace_only
from tests.support.traces import PARENT, SPAN, TRACE

PAIR = ("traceparent", PARENT.encode())


def test_headers_hold_for_the_work() -> None:
    """Only the trace's, and only meanwhile."""
    with carrying([PAIR, ("x", b"1")]):
        assert current() == [PAIR]
    assert current() == []


def test_a_program_that_uses_opentelemetry() -> None:
    """Its current span counts where the work has none of its own."""
    flags = trace.TraceFlags(1)
    context = trace.SpanContext(int(TRACE, 16), int(SPAN, 16), is_remote=False, trace_flags=flags)
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert current() == [PAIR]
        with carrying([]):
            assert current() == []


def test_headers_of_a_request() -> None:
    """A record's are bytes, a request's are text."""
    assert of_http({"traceparent": PARENT, "tracestate": "a=1", "x": "y"}) == [
        PAIR,
        ("tracestate", b"a=1"),
    ]
    assert for_http([PAIR, ("x", b"y")]) == {"traceparent": PARENT}
    assert trace_only(None) == []


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", b"x")],
        [("traceparent", PARENT.encode() + b"\r\nX-Evil: 1")],
        [("traceparent", b"\xff\xfe")],
        [("tracestate", b"a=1")],
    ],
    ids=["short", "injection", "bytes", "state"],
)
def test_malformed_headers_go_nowhere(headers: list[tuple[str, bytes]]) -> None:
    """A server would refuse the request for them; a state means nothing without a parent."""
    assert for_http(headers) == {}


def test_a_malformed_state_leaves_the_parent() -> None:
    """It is of less use."""
    assert for_http([PAIR, ("tracestate", b"a\r\nb")]) == {"traceparent": PARENT}
