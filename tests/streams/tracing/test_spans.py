"""The tracer of a process that makes no spans."""

from __future__ import annotations

import subprocess
import sys

from streams.tracing.spans import UNRECORDED, Tracer, tracer, use

LOADED = """
import sys
import streams.cli.route, streams.cli.work, streams.runtime.app, streams.worker.backends.openai
import streams.serve.app
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_it_passes_on_what_came() -> None:
    """Headers are the same objects, and whatever is noted is dropped."""
    headers = [("traceparent", b"x")]
    span = tracer().start("a", "client", headers, {"b": 1})
    assert span is UNRECORDED
    assert span.carried(headers) is headers
    span.note({"c": 2})
    span.fail("d")
    span.step("e", 1.0, 2.0)
    span.end()
    tracer().close()
    assert not tracer().is_on


def test_one_may_be_put_in_its_place() -> None:
    """As a process does that is configured so."""
    mine = Tracer()
    before = use(mine)
    assert tracer() is mine
    assert use(before) is mine


def test_opentelemetry_is_not_loaded() -> None:
    """By any process that makes no spans: it would cost a start, and memory."""
    run = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"
