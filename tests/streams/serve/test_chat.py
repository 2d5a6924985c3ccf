"""Requests as queries, answers as completions."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from router.models.catalog import Model, ModelCatalog
from schemas import Query, Source
from streams.client.answers import Answer, of_result
from streams.serve import chat
from streams.serve.errors import ApiError
from streams.serve.keys import ANYBODY, Caller
from tests.support.foreign_answers import CALLS, FOREIGN
from tests.support.stand_in import answered

MODELS = ["small", "large", "a,b"]
CATALOG = ModelCatalog([Model("small", 100_000_000, 200_000_000)])
MESSAGES = [{"role": "user", "content": "hello"}]


def read(caller: Caller = ANYBODY, headers: dict[str, str] | None = None, **body: Any) -> Query:
    data = msgspec.json.encode({"model": "auto", "messages": MESSAGES, **body})
    return chat.read(data, headers or {}, caller, MODELS, 60.0, "new").query


def answer(**fields: Any) -> Answer:
    query, source = Query(id="q", prompt="hello"), Source("queries", 0, 7)
    ending = of_result(answered(query, source, **fields), CATALOG)
    assert isinstance(ending, Answer)
    return ending


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("auto", None),
        ("small", ["small"]),
        ("small, large,small", ["small", "large"]),
        ("a,b", ["a,b"]),
    ],
)
def test_models(asked: str, allowed: list[str] | None) -> None:
    """A model's name restricts the choice; several do, with commas; `auto` does not."""
    assert read(model=asked).allowed_models == allowed


def test_the_payload() -> None:
    """What the request says goes to the model, but for what is Sluice's."""
    query = read(
        temperature=0.5,
        max_tokens=7,
        stream=True,
        stream_options={"include_usage": True},
        metadata={"order": "17"},
    )
    assert query.payload == {"messages": MESSAGES, "temperature": 0.5, "max_tokens": 7}
    assert query.metadata == {"order": "17"}
    assert query.output_tokens == 7
    assert query.id == "new"


def test_headers() -> None:
    """Deadline, cost, floor and tenant come from headers; of a key with a tenant, from the key."""
    given = {"x-sluice-deadline": "5", "x-sluice-max-cost": "0.01", "x-sluice-tenant": "shop"}
    given["x-sluice-floor"] = " 0.85"
    query = read(headers=given)
    assert query.deadline == pytest.approx(time.time() + 5, abs=4)
    assert (query.max_cost, query.tenant, query.floor) == (10_000_000, "shop", 0.85)
    assert read().floor is None
    assert read(Caller("k", "trial")).tenant == "trial"
    assert read(Caller("k", "shop"), given).tenant == "shop"


def test_repeated_requests() -> None:
    """The same key and body name the same query; another caller's, key or body another one."""
    key = {"idempotency-key": "order-17"}
    one = read(headers=key).id
    assert one == read(headers=key).id
    assert one.startswith(chat.IDEMPOTENT)
    others = [
        read(Caller("k", None), key),
        read(headers={"idempotency-key": "order-18"}),
        read(headers=key, temperature=1),
    ]
    assert len({one, *(other.id for other in others)}) == 4


@pytest.mark.parametrize(
    ("headers", "body", "status", "param"),
    [
        ({}, {"model": None}, 400, "model"),
        ({}, {"model": "gpt-9"}, 404, "model"),
        ({}, {"messages": None}, 400, "messages"),
        ({}, {"messages": [{"role": "user"}]}, 400, "messages[0].content"),
        ({}, {"max_tokens": 0}, 400, "max_tokens"),
        ({}, {"stream": "yes"}, 400, "stream"),
        ({}, {"stream_options": "usage"}, 400, "stream_options"),
        ({}, {"stream_options": {"include_usage": "no"}}, 400, "include_usage"),
        ({}, {"metadata": {"a": []}}, 400, "metadata"),
        ({"x-sluice-deadline": "-1"}, {}, 400, "X-Sluice-Deadline"),
        ({"x-sluice-deadline": "nan"}, {}, 400, "X-Sluice-Deadline"),
        ({"x-sluice-max-cost": "dear"}, {}, 400, "X-Sluice-Max-Cost"),
        ({"x-sluice-max-cost": "1e99"}, {}, 400, "X-Sluice-Max-Cost"),
        ({"x-sluice-max-cost": "1e999999999"}, {}, 400, "X-Sluice-Max-Cost"),
        ({"x-sluice-max-cost": "NaN"}, {}, 400, "X-Sluice-Max-Cost"),
        ({"x-sluice-floor": "high"}, {}, 400, "X-Sluice-Floor"),
        ({"x-sluice-floor": "1.01"}, {}, 400, "X-Sluice-Floor"),
        ({"x-sluice-floor": "nan"}, {}, 400, "X-Sluice-Floor"),
        ({"idempotency-key": ""}, {}, 400, "Idempotency-Key"),
        ({"x-sluice-tenant": "\n"}, {}, 400, "tenant"),
    ],
)
def test_what_is_wrong(
    headers: dict[str, str], body: dict[str, Any], status: int, param: str
) -> None:
    """An error names the field."""
    with pytest.raises(ApiError) as caught:
        read(headers=headers, **body)
    assert caught.value.status == status
    assert (caught.value.param or "").startswith(param)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_tenant_beyond_ascii(encoding: str) -> None:
    """It is the tenant of the configuration's limits, whatever bytes the client sends."""
    as_received = "Köln".encode(encoding).decode("latin-1")
    assert read(headers={"x-sluice-tenant": as_received}).tenant == "Köln"
    assert read(Caller("k", "Köln"), {"x-sluice-tenant": as_received}).tenant == "Köln"


def test_another_tenant() -> None:
    """A key cannot spend what is another tenant's."""
    with pytest.raises(ApiError, match="another tenant"):
        read(Caller("k", "trial"), {"x-sluice-tenant": "shop"})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b'{"model": "auto",', "breaks off, after 17 bytes"),
        (b'{"model": "\\ud800"}', "half of a surrogate pair"),
        (b'{"model": "\xff"}', "not UTF-8: byte 0xff at position 11"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[]", "found an array, it must be an object"),
        (b'"a"', "found a string"),
        (b"null", "found null"),
    ],
)
def test_what_is_no_request(body: bytes, why: str) -> None:
    """What is no JSON object is refused, in words that say what is wrong with it."""
    with pytest.raises(ApiError, match=why) as caught:
        chat.read(body, {}, ANYBODY, MODELS, 60.0, "new")
    assert caught.value.status == 400


def test_completion() -> None:
    """An answer is a completion of the model that gave it, with decision and cost."""
    whole = chat.completion(answer(), 17)
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"]["content"] == "hello"
    assert whole["usage"]["total_tokens"] == 5
    assert (whole["model"], whole["created"]) == ("small", 17)
    assert whole["sluice"]["cost"] == 700
    assert chat.described(answer())["x-sluice-cost"] == "0.0000007"


def test_an_answer_without_words() -> None:
    """A model that says nothing makes a completion all the same."""
    whole = chat.completion(answer(response=None), 17)
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": ""}
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("response", list(FOREIGN.values()), ids=list(FOREIGN))
def test_answers_of_other_forms(response: Any, cut: bool) -> None:
    """A worker may answer in any form: its words are the message, whole and as events."""
    whole = chat.completion(answer(response=response, cut=cut), 17)
    message = {"role": "assistant", "content": "hello, world"}
    assert [each["message"] for each in whole["choices"]] == [message]
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    found = [each["choices"][0] for each in _chunks(whole)]
    assert "".join(each["delta"].get("content", "") for each in found) == "hello, world"
    ended = "length" if cut else "stop"
    assert whole["choices"][0]["finish_reason"] == found[2]["finish_reason"] == ended


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("response", list(CALLS.values()), ids=list(CALLS))
def test_calls_of_other_forms(response: Any, cut: bool) -> None:
    """Calls of tools are OpenAI's, whole and as events."""
    whole = chat.completion(answer(response=response, cut=cut), 17)
    (choice,) = whole["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert choice["message"]["content"] is None
    found = [each["choices"][0] for each in _chunks(whole)]
    assert found[1]["delta"]["tool_calls"] == [{"index": 0, **call}]
    ended = "length" if cut else "tool_calls"
    assert choice["finish_reason"] == found[2]["finish_reason"] == ended


def test_words_beside_calls() -> None:
    """A model may say something, too."""
    parts = [{"type": "text", "text": "One moment."}, *CALLS["Anthropic"]["content"]]
    (choice,) = chat.completion(answer(response={"content": parts}), 17)["choices"]
    assert choice["message"]["content"] == "One moment."
    assert [each["id"] for each in choice["message"]["tool_calls"]] == ["c1"]


@pytest.mark.parametrize(
    ("form", "total"), [("Anthropic", 5), ("Gemini", 5), ("words", 0), ("TGI", 0)], ids=str
)
def test_usage_in_an_answer_of_another_form(form: str, total: int) -> None:
    """Where a worker does not say what was used, the answer itself may."""
    whole = chat.completion(answer(response=FOREIGN[form], usage=None, cost=1), 17)
    assert whole["usage"]["total_tokens"] == total
    assert whole["usage"]["prompt_tokens"] == total * 3 // 5


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (None, ""),
        ("hello", ""),
        ([None], ""),
        ([{}], ""),
        ([{"index": None, "message": None}], ""),
        ([{"message": "hello"}], "hello"),
        ([{"text": "hello"}], "hello"),
        ([{"message": ["hello"]}], "hello"),
        ([{"message": {"content": "hello", "tool_calls": [None, "f"]}}], "hello"),
        ([{"message": {"content": "hello", "tool_calls": {"id": "c"}}}], "hello"),
    ],
    ids=str,
)
def test_events_of_odd_choices(choices: object, said: str | None) -> None:
    """An answer that is paid for reaches its client, whatever form its server gave it."""
    whole = chat.completion(answer(response={"choices": choices, "usage": [1]}), 17)
    assert whole["choices"][0]["message"]["content"] == said
    assert whole["usage"]["total_tokens"] == 5
    found = _chunks(whole)
    assert [each["choices"][0]["finish_reason"] for each in found] == [None, None, "stop"]
    assert found[1]["choices"][0]["delta"].get("content") == said


def test_events_of_several_choices() -> None:
    """Each has an index of its own, and its log probabilities stand beside its words."""
    likely = {"content": [{"token": "a", "logprob": -0.1}]}
    choices = [{"message": {"content": "a"}, "logprobs": likely}, {"message": {"content": "b"}}]
    found = _chunks(chat.completion(answer(response={"choices": choices}), 17))
    said = [each["choices"][0] for each in found if each["choices"][0]["delta"].get("content")]
    assert [(each["index"], each["delta"]["content"]) for each in said] == [(0, "a"), (1, "b")]
    assert [each.get("logprobs") for each in said] == [likely, None]


def _chunks(whole: dict[str, Any]) -> list[Any]:
    parts = [part.removeprefix(b"data: ").strip() for part in chat.events(whole, usage=False)]
    assert parts.pop() == b"[DONE]"
    return [msgspec.json.decode(part) for part in parts]


def test_events() -> None:
    """Events hold the role, the words, calls of tools by index, the end, the usage and [DONE]."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "hi", "tool_calls": [call]}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    response = {"choices": choices, "system_fingerprint": "fp"}
    whole = chat.completion(answer(response=response), 17)
    parts = [part.removeprefix(b"data: ").strip() for part in chat.events(whole, usage=True)]
    assert parts.pop() == b"[DONE]"
    chunks = [msgspec.json.decode(part) for part in parts]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "hi", "tool_calls": [{"index": 0, **call}]},
        {},
    ]
    assert chunks[2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[3]["usage"]["total_tokens"] == 5
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["system_fingerprint"] for chunk in chunks} == {"fp"}
    assert len(list(chat.events(whole, usage=False))) == 4
