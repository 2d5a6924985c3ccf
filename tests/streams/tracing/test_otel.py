"""Spans as OpenTelemetry has them."""

from __future__ import annotations

import json

import pytest

from streams.tracing.otel import OtelTracer, console
from streams.tracing.spans import tracer
from tests.support.traces import PARENT, SPAN, TRACE, Memory, recorded

HEADERS = [("x", b"1"), ("traceparent", PARENT.encode()), ("tracestate", b"a=1")]


def test_a_span_continues_the_trace(spans: Memory) -> None:
    """What is sent from it names it as the parent, and keeps what else there is."""
    span = tracer().start("work", "consumer", HEADERS, {"a": 1, "b": None}, began=10.0)
    sent = dict(span.carried(HEADERS))
    span.note({"c": ["x"], "d": None})
    span.end(12.5)
    (seen,) = spans.seen()
    assert (seen.trace, seen.parent, seen.name) == (TRACE, SPAN, "work")
    assert (seen.began, seen.ended) == (10 * 10**9, 12_500_000_000)
    assert seen.attributes == {"a": 1, "c": ("x",)}
    assert sent == {
        "x": b"1",
        "traceparent": f"00-{TRACE}-{seen.id}-01".encode(),
        "tracestate": b"a=1",
    }


def test_without_a_parent_a_trace_begins(spans: Memory) -> None:
    """Also where the header is malformed."""
    for headers in ([], [("traceparent", b"nonsense")]):
        tracer().start("work", "server", headers).end()
    first, second = spans.seen()
    assert first.trace != second.trace
    assert first.parent == second.parent == ""


def test_steps_are_children(spans: Memory) -> None:
    """With the times that they took."""
    span = tracer().start("work", "internal", [])
    span.step("prepare", 1.0, 2.0)
    span.end()
    step, whole = spans.seen()
    assert (step.name, step.parent, step.began, step.ended) == (
        "prepare",
        whole.id,
        10**9,
        2 * 10**9,
    )


def test_a_failure_has_a_type(spans: Memory) -> None:
    """Which dashboards count by."""
    span = tracer().start("work", "client", [])
    span.fail("503", "no room")
    span.end()
    (seen,) = spans.seen()
    assert seen.failed
    assert seen.attributes == {"error.type": "503"}


def test_a_trace_that_is_not_sampled(spans: Memory) -> None:
    """Is passed on as such, and costs no spans."""
    headers = [("traceparent", PARENT.encode()[:-1] + b"0")]
    span = tracer().start("work", "consumer", headers)
    span.step("prepare", 1.0, 2.0)
    span.end()
    assert dict(span.carried(headers))["traceparent"].endswith(b"-00")
    assert spans.seen() == []


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not, the process does."""
    for name in ("front", "test"):
        if name != "test":
            monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        else:
            monkeypatch.delenv("OTEL_SERVICE_NAME")
        with recorded() as memory:
            tracer().start("work", "client", []).end()
        assert [span.service for span in memory.seen()] == [name]


def test_the_console_has_a_line_a_span(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, beside the log."""
    made = OtelTracer("test", "0", console())
    made.start("one", "client", []).end()
    made.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["name"] == "one"
