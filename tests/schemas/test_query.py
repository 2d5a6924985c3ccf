"""A query's own rules: its text, its messages, its limits, its embedding."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas import Invalid, Query, decode
from schemas.query import unknown_field

USER = {"role": "user", "content": "hello"}


def parse(**fields: Any) -> Query:
    return decode(Query, json.dumps({"id": "q", **fields}).encode())


def refusal(**fields: Any) -> Invalid:
    with pytest.raises(Invalid) as caught:
        parse(**fields)
    return caught.value


def chat(*messages: Any, **body: Any) -> dict[str, Any]:
    return {"messages": list(messages), **body}


def test_text_of_a_prompt() -> None:
    """A prompt is its own text."""
    assert parse(prompt="hi").text() == "hi"


def test_text_of_messages() -> None:
    """Messages are joined a line each, text parts too; other parts and null are left out."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    parts = [{"type": "text", "text": "b"}, picture, {"type": "text", "text": "c"}]
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    bare_call = {"role": "assistant", "tool_calls": [{"id": "1"}]}
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": parts}]
    assert parse(payload=chat(*messages, call, bare_call)).text() == "a\nb\nc"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prompt": "a"}, None),
        ({"prompt": "a", "max_tokens": 5}, 5),
        ({"payload": chat(USER)}, None),
        ({"payload": chat(USER, max_tokens=7)}, 7),
        ({"payload": chat(USER, max_tokens=None)}, None),
        ({"payload": chat(USER, max_tokens=7, max_completion_tokens=6)}, 6),
        ({"payload": chat(USER, max_tokens=7), "max_tokens": 5}, 5),
    ],
)
def test_output_tokens(fields: dict[str, Any], expected: int | None) -> None:
    """The query's own limit counts before the payload's, and of these the lower."""
    assert parse(**fields).output_tokens == expected


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({}, "prompt", "one of payload and prompt must be given"),
        ({"prompt": "a", "payload": chat(USER)}, "prompt", "left out where payload is given"),
        ({"prompt": ""}, "prompt", "its length must be at least 1"),
        ({"payload": "hi"}, "payload", "found a string, it must be an object"),
        ({"payload": {}}, "payload.messages", "found nothing"),
        ({"payload": {"messages": "hi"}}, "payload.messages", "found a string"),
        ({"payload": chat()}, "payload.messages", "at least one message"),
        ({"payload": chat(USER, "hi")}, "payload.messages[1]", "found a string"),
        ({"payload": chat({"content": "a"})}, "payload.messages[0].role", "found nothing"),
        ({"payload": chat({"role": 1})}, "payload.messages[0].role", "found an integer"),
        ({"payload": chat({"role": "u"})}, "payload.messages[0].content", "found nothing"),
        (
            {"payload": chat({"role": "u", "content": None})},
            "payload.messages[0].content",
            "found null",
        ),
        (
            {"payload": chat({"role": "u", "content": ["a"]})},
            "payload.messages[0].content[0]",
            "found a string, it must be an object",
        ),
        (
            {"payload": chat({"role": "u", "content": [{"text": 1}]})},
            "payload.messages[0].content[0].text",
            "found an integer",
        ),
        ({"payload": chat({"role": "u", "content": []})}, "payload.messages", "must hold text"),
        ({"payload": chat(USER, max_tokens=0)}, "payload.max_tokens", "from 1 to 10000000"),
        ({"payload": chat(USER, max_tokens=True)}, "payload.max_tokens", "found a boolean"),
        (
            {"payload": chat(USER, max_completion_tokens="5")},
            "payload.max_completion_tokens",
            "found a string",
        ),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens", "at least 1"),
        ({"prompt": "a", "max_tokens": 1.5}, "max_tokens", "found a number, it must be an integer"),
        ({"prompt": "a", "max_cost": -1}, "max_cost", "at least 0"),
        ({"prompt": "a", "deadline": 0}, "deadline", "above 0"),
        ({"prompt": "a", "deadline": 1.7e12}, "deadline", "seconds, not milliseconds"),
        ({"prompt": "a", "deadline": "soon"}, "deadline", "found a string"),
        ({"prompt": "a", "allowed_models": []}, "allowed_models", "length must be at least 1"),
        ({"prompt": "a", "allowed_models": ["m"] * 257}, "allowed_models", "at most 256"),
        ({"prompt": "a", "allowed_models": [""]}, "allowed_models[0]", "at least 1"),
        ({"prompt": "a", "metadata": {"k": []}}, "metadata[...]", "found an array"),
        ({"prompt": "a", "id": "a\n"}, "id", "control characters"),
        ({"prompt": "a", "id": "a" * 257}, "id", "at most 256"),
    ],
)
def test_refusals(fields: dict[str, Any], field: str, words: str) -> None:
    """The reason names the field's path, the type found there, and the rule."""
    error = refusal(**fields)
    assert error.field == field
    assert error.reason.startswith(f"{field}: found ")
    assert words in error.reason


@pytest.mark.parametrize("embedding", [[], [0.0, 0.0], [1, "b"], [1e300], "abc", [1.0] * 8193])
def test_wrong_embeddings_have_their_own_code(embedding: Any) -> None:
    """A vector that cannot be normalised or read is told apart from other wrong fields."""
    assert refusal(prompt="a", embedding=embedding).code == "invalid_embedding"


def test_what_openai_takes_is_taken() -> None:
    """Nothing but an image, no text beside one, no content beside a refusal, empty text."""
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    assert parse(payload=chat({"role": "user", "content": [image]})).text() == ""
    wordless = chat({"role": "user", "content": [{**image, "text": None}]}, USER)
    assert parse(payload=wordless).text() == "hello"
    refused = {"role": "assistant", "content": None, "refusal": "no"}
    assert parse(payload=chat(USER, refused, USER)).text() == "hello\nhello"
    returned = {"role": "function", "name": "f", "content": None}
    assert parse(payload=chat(USER, returned)).text() == "hello"
    for nothing in ("", [{"type": "text", "text": ""}]):
        assert parse(payload=chat({"role": "user", "content": nothing})).text() == ""
    empty = chat({"role": "user", "content": [{"type": "text", "text": None}]})
    assert "must hold text" in refusal(payload=empty).reason


@pytest.mark.parametrize("n", [0, 129, 1.5, "2", True])
def test_choices_are_a_whole_number(n: Any) -> None:
    """They multiply what is reserved."""
    assert refusal(payload=chat(USER, n=n)).field == "payload.n"


def test_the_least_of_the_payload_s_limits_counts() -> None:
    """Both may be given; a server may honour either."""
    assert parse(payload=chat(USER, max_tokens=6, max_completion_tokens=7)).output_tokens == 6


def test_unknown_fields_are_named() -> None:
    """The first one; what stands in the payload is none."""
    assert unknown_field(b'{"id": "a", "prompt": "x", "temperature": 1, "n": 2}') == "temperature"
    assert unknown_field(b'{"id": "a", "payload": {"temperature": 1}}') is None


def test_the_rules_hold_for_queries_made_in_python_too() -> None:
    """A producer that builds a query gets the same error as a reader of its bytes."""
    with pytest.raises(Invalid, match="one of payload and prompt"):
        Query(id="q")
