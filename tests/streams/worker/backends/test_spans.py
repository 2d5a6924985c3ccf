"""Spans of calls, by the conventions for generative AI."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from streams.tracing.context import carrying
from streams.worker.backends.openai import OpenAI, Retries
from tests.support.asking import routed
from tests.support.completion_server import Server, status
from tests.support.traces import PARENT, SPAN, TRACE, Memory

CARRIED = [("traceparent", PARENT.encode())]
ANSWER = {
    "id": "chatcmpl-1",
    "model": "tiny-2026",
    "choices": [{"message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 34},
}


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


async def call(server: Server) -> None:
    """Answer a query as a worker does."""
    backend = OpenAI("tiny", server.url, retries=Retries(first=0.001))
    with carrying(CARRIED):
        await backend.answer(routed())
    await backend.close()


async def test_a_call_is_described(server: Server, spans: Memory) -> None:
    """Model, server, tokens and why it ended; never what was said. The server gets the span."""
    server.replies.append((200, {}, json.dumps(ANSWER).encode()))
    await call(server)
    (span,) = spans.seen()
    assert (span.name, span.trace, span.parent) == ("chat tiny", TRACE, SPAN)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "tiny",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "tiny-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
    }
    assert expected.items() <= span.attributes.items()
    assert server.parents == [f"00-{TRACE}-{span.id}-01"]


async def test_each_attempt_has_its_own(server: Server, spans: Memory) -> None:
    """A repeated call says which one it is, a failed one why."""
    server.replies.append(status(500, "oops"))
    await call(server)
    first, second = spans.seen()
    assert (first.failed, second.failed) == (True, False)
    assert first.attributes["error.type"] == "500"
    assert second.attributes["http.request.resend_count"] == 1


async def test_without_spans_the_trace_goes_on(server: Server) -> None:
    """The model's server continues the client's trace."""
    await call(server)
    assert server.parents == [PARENT]
