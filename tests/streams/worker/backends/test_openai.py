"""What a worker asks of a server that speaks OpenAI's protocol, and makes of its answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from email.utils import formatdate
from random import Random
from typing import Any

import pytest

from router.models.catalog import Model
from schemas.result import TOO_LONG, Usage
from schemas.wire import encode
from streams.worker.backends.base import (
    DEADLINE_EXCEEDED,
    INFERENCE_ERROR,
    INVALID_REQUEST,
    BackendUnavailable,
)
from streams.worker.backends.http_call import LONGEST_ANSWER
from streams.worker.backends.openai import OpenAI, Retries
from tests.support.asking import RESERVED, ask, code, routed
from tests.support.completion_server import Server, status
from tests.support.raw_server import raw_server

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def openai(server: Server, clock: Clock) -> OpenAI:
    return OpenAI("gpt", server.url, KEY, clock=clock, sleep=clock.sleep, random=Random(0))


async def test_usage_is_read_back(openai: OpenAI, server: Server) -> None:
    """Tokens of all four kinds; no cost, for that is usage times price."""
    result = await ask(openai)
    assert result.usage == Usage(
        prompt_tokens=12, completion_tokens=34, cached_tokens=5, reasoning_tokens=6
    )
    assert result.cost is None
    assert result.response["choices"][0]["message"]["content"] == "4"
    assert server.keys == [f"Bearer {KEY}"]


async def test_a_prompt_is_one_message(openai: OpenAI, server: Server) -> None:
    """The request is complete, bounded by what was reserved, and not streamed."""
    await ask(openai)
    assert server.requests == [
        {
            "messages": [{"role": "user", "content": "2 + 2?"}],
            "max_tokens": 100,
            "model": "gpt",
            "stream": False,
        }
    ]


async def test_a_server_that_takes_no_calls(openai: OpenAI, server: Server, clock: Clock) -> None:
    """The query is kept, and for how long the server asks to wait is told."""
    for retry_after in ("7", formatdate(clock.now + 7, usegmt=True)):
        for code_ in (401, 402, 429, 503, 529):
            server.replies.append(status(code_, "slow down", Retry_After=retry_after))
            with pytest.raises(BackendUnavailable, match="slow down") as caught:
                await openai.answer(routed())
            assert caught.value.retry_after == 7.0
    await openai.close()
    assert clock.slept == []


@pytest.mark.parametrize("failing", [500, 408, 409])
async def test_failures_that_cost_nothing_are_retried_with_growing_waits(
    openai: OpenAI, server: Server, clock: Clock, failing: int
) -> None:
    """Up to five attempts, then the last status, uncharged."""
    server.replies.extend([status(failing)] * 5)
    result = await ask(openai)
    assert (result.status_code, code(result), result.cost) == (failing, INFERENCE_ERROR, 0)
    assert result.attempts == len(server.requests) == 5
    assert all(0 <= wait <= most for wait, most in zip(clock.slept, [0.5, 1, 2, 4], strict=True))


@pytest.mark.parametrize("failing", [502, 504, 520, 524])
async def test_a_call_that_may_have_been_charged_is_the_last(
    openai: OpenAI, server: Server, failing: int
) -> None:
    """The reservation pays for one: it is charged, as an estimate."""
    server.replies.append(status(failing))
    result = await ask(openai)
    assert (result.status_code, code(result)) == (failing, INFERENCE_ERROR)
    assert (result.cost, result.estimated, result.attempts) == (RESERVED, True, 1)


async def test_uncertain_calls_that_are_reserved_for(server: Server, clock: Clock) -> None:
    """Each is charged its part of the reservation, beside what the answer cost; none is made
    beyond them, and a server that is away is waited for."""
    model = Model("m", 10**9, 10**9)
    retries = Retries(uncertain=2)
    server.replies.extend([status(504), None, status(503, Retry_After="40")])
    backend = OpenAI(
        "gpt", server.url, timeout=0.3, retries=retries, clock=clock, sleep=clock.sleep,
        priced=model,
    )  # fmt: skip
    result = await backend.answer(routed(reserved=900))
    assert (result.status_code, result.attempts) == (200, 4)
    assert (result.cost, result.estimated) == (600 + (12 + 34) * 1000, True)
    assert clock.slept[-1] == 40.0
    server.replies.extend([status(502)] * 4)
    result = await ask(backend, routed(reserved=900))
    assert (result.status_code, result.cost, result.attempts) == (502, 900, 3)


@pytest.mark.parametrize("refusing", [400, 403, 404, 413, 422])
async def test_refusals_are_not_retried(
    openai: OpenAI, server: Server, clock: Clock, refusing: int
) -> None:
    """The same query would be refused again."""
    server.replies.append(status(refusing))
    result = await ask(openai)
    assert (result.status_code, code(result), result.cost) == (refusing, INVALID_REQUEST, 0)
    assert (result.attempts, clock.slept) == (1, [])


async def test_a_query_that_is_too_long_is_refused_as_such(openai: OpenAI, server: Server) -> None:
    """Another model may take it: the code says so. Nothing is charged."""
    server.replies.append(status(400, "This model's maximum context length is 8192 tokens"))
    result = await ask(openai)
    assert (result.status_code, code(result), result.cost) == (400, TOO_LONG, 0)


async def test_a_query_that_no_minute_holds_is_refused(openai: OpenAI, server: Server) -> None:
    """It is a 429 that no waiting mends: as a probe it would keep the server away for ever."""
    server.replies.append(status(429, "Request too large for gpt-4o on tokens per min (TPM)"))
    result = await ask(openai)
    assert (result.status_code, code(result), result.cost) == (413, TOO_LONG, 0)


async def test_a_refused_key_is_a_server_that_takes_no_calls(
    openai: OpenAI, server: Server
) -> None:
    """No query is to blame; the log names the server and not the key."""
    server.replies.append(status(401, f"Incorrect API key provided: {KEY}"))
    with pytest.raises(BackendUnavailable, match="refuses the API key") as caught:
        await ask(openai)
    assert KEY not in str(caught.value)


async def test_silence_costs_the_reservation(server: Server, clock: Clock) -> None:
    """A call that timed out may have been charged: limits stay hard on uncertain ground."""
    server.replies.append(None)
    backend = OpenAI("gpt", server.url, timeout=0.1, clock=clock, sleep=clock.sleep)
    result = await ask(backend)
    assert (result.status_code, code(result)) == (504, INFERENCE_ERROR)
    assert (result.cost, result.estimated, result.attempts) == (RESERVED, True, 1)


async def test_nobody_there_costs_nothing() -> None:
    """A connection that is refused charges nobody, and the query is kept."""
    backend = OpenAI("gpt", "http://127.0.0.1:9/v1")
    with pytest.raises(BackendUnavailable, match="cannot connect"):
        await ask(backend)


@pytest.mark.parametrize("field", ["deadline", "start_by"])
async def test_no_attempt_after_the_deadline(
    openai: OpenAI, server: Server, clock: Clock, field: str
) -> None:
    """Where a wait would end too late, the query ends at once, and says what came before."""
    server.replies.append(status(500, "overloaded", Retry_After="5"))
    late: dict[str, Any] = {field: clock.now + 4}
    result = await ask(openai, routed(**late))
    assert (result.status_code, code(result), result.cost) == (504, DEADLINE_EXCEEDED, 0)
    assert result.error is not None
    assert "overloaded" in result.error.message
    assert clock.slept == []


async def test_a_call_ends_with_the_deadline(server: Server) -> None:
    """A server that is slower than the query allows is not waited for."""
    server.replies.append(None)
    backend = OpenAI("gpt", server.url, clock=lambda: 100.0, retries=Retries(attempts=1))
    result = await ask(backend, routed(deadline=100.05))
    assert (result.status_code, code(result)) == (504, DEADLINE_EXCEEDED)
    assert (result.cost, result.estimated) == (RESERVED, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[1]",
        b"null",
        b"{}",
        b'{"choices": 1}',
        b"[" * 100_000,
    ],
)
async def test_an_answer_that_is_none(openai: OpenAI, server: Server, data: bytes) -> None:
    """It was charged all the same, as far as anybody knows; it is not asked for again."""
    server.replies.append((200, {}, data))
    result = await ask(openai)
    assert (result.status_code, code(result)) == (502, INFERENCE_ERROR)
    assert (result.cost, result.attempts) == (RESERVED, 1)


async def test_an_answer_without_usage(openai: OpenAI, server: Server) -> None:
    """Its response is passed on, and the reservation is its cost, as an estimate."""
    server.replies.append((200, {}, b'{"choices": []}'))
    result = await ask(openai)
    assert (result.status_code, result.usage, result.cost) == (200, None, RESERVED)
    assert result.estimated


@pytest.mark.parametrize("kind", ["prompt", "payload"])
async def test_usage_of_too_few_tokens_for_the_question(
    openai: OpenAI, server: Server, kind: str
) -> None:
    """However the question came, it is not believed."""
    long, usage = "All work and no play. " * 100, {"prompt_tokens": 1, "completion_tokens": 1}
    chat = {"messages": [{"role": "user", "content": long}]}
    answer = {"choices": [{"message": {"content": "ok"}}], "usage": usage}
    server.replies.append((200, {}, json.dumps(answer).encode()))
    prompt, payload = (long, None) if kind == "prompt" else (None, chat)
    result = await ask(openai, routed(prompt=prompt, payload=payload))
    assert (result.status_code, result.usage, result.cost) == (200, None, RESERVED)


async def test_an_error_with_a_good_status(openai: OpenAI, server: Server) -> None:
    """It is a failure: of the status that it names, else one that may have been charged."""
    named = {"choices": [], "error": {"message": "no such model", "code": 404}}
    nameless = {"choices": [], "error": {"message": "the model crashed"}}
    server.replies.extend((200, {}, json.dumps(body).encode()) for body in (named, nameless))
    first, second = await openai.answer(routed()), await ask(openai)
    assert (first.status_code, code(first), first.cost) == (404, INVALID_REQUEST, 0)
    assert (second.status_code, code(second), second.cost) == (502, INFERENCE_ERROR, RESERVED)
    assert second.error is not None
    assert second.error.message == "the model crashed"


async def test_fields_that_change_the_price_are_not_sent(openai: OpenAI, server: Server) -> None:
    """The query is refused, with the way to allow them."""
    payload = {"messages": [{"role": "user", "content": "?"}], "service_tier": "priority"}
    result = await ask(openai, routed(payload=payload))
    assert (result.status_code, code(result), result.cost) == (400, INVALID_REQUEST, 0)
    assert result.error is not None
    assert '[models.m] allow_fields = ["service_tier"]' in result.error.message
    assert server.requests == []


async def test_an_endless_answer_is_not_read(openai: OpenAI, server: Server) -> None:
    """What is longer than any answer ends as a bad one."""
    server.replies.append((200, {}, b'{"choices": "' + b"x" * (LONGEST_ANSWER + 1)))
    assert (await ask(openai)).status_code == 502


async def test_the_key_is_never_told(
    openai: OpenAI, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in logs of any level nor in results, also where the server repeats it."""
    caplog.set_level(logging.DEBUG)
    server.replies.append(status(500, f"bad {KEY}"))
    server.replies.append(status(400, f"bad {KEY}"))
    result = await ask(openai)
    assert KEY.encode() not in encode(result)
    assert KEY not in caplog.text
    assert KEY not in repr(openai)


async def test_long_reasons_are_cut(openai: OpenAI, server: Server) -> None:
    """A server's error page does not fill the topic."""
    server.replies.append((400, {}, b"x" * 10_000))
    result = await ask(openai)
    assert result.error is not None
    assert len(result.error.message) == 500


async def test_a_key_that_cannot_be_sent_is_not_told() -> None:
    """Nor what else stands in the headers, though the error repeats it."""
    with raw_server(b"") as (address, _):
        backend = OpenAI("gpt", f"http://{address}/v1", f"{KEY}\n", headers={"X-Own": f"{KEY}\n"})
        with pytest.raises(BackendUnavailable) as caught:
            await ask(backend)
    assert KEY not in caught.value.reason


@pytest.mark.parametrize("messages", [None, 5, ["x"], [{"content": [None, {"text": 5}]}]])
async def test_a_payload_of_any_form(openai: OpenAI, messages: object) -> None:
    """Whatever a router has routed, it is the server's to refuse."""
    result = await ask(openai, routed(payload={"messages": messages}))
    assert result.status_code == 200
