"""What a query holds: bytes of its text, images and audio, and fields that may cost more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Query, decode
from schemas.content import PART, TOOL_TEMPLATE, content_of, likely_tokens

TEXT = {"type": "text", "text": "What is this?"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "UklGR" * 1000, "format": "wav"}}


def chat(*parts: Any, **body: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}], **body}


def test_a_prompt_is_its_bytes() -> None:
    """In UTF-8, however it was written: escapes cost nothing."""
    raw = json.dumps({"id": "a", "prompt": "今天\n天气"}, ensure_ascii=False).encode()
    escaped = json.dumps({"id": "a", "prompt": "今天\n天气"}).encode()
    assert decode(Query, raw).content() == decode(Query, escaped).content()
    assert decode(Query, raw).content().size == 13


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_payload_is_no_smaller_than_its_texts_on_the_wire(value: Any) -> None:
    """Whatever stands in it: at least the bytes of JSON without escapes."""
    payload = {"messages": [{"role": "user", "content": "hi"}], "tools": value}
    plain = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    escapes = json.dumps(plain, ensure_ascii=False).count("\\")
    assert content_of(payload, None).size >= len(plain.encode(errors="replace")) - escapes * 6


@pytest.mark.parametrize("part", [IMAGE, {"type": "input_image", "image_url": "data:;base64,AA"}])
def test_images_are_counted_not_measured(part: dict[str, Any]) -> None:
    """By address or by value; text beside it is text."""
    found, without = content_of(chat(TEXT, part), None), content_of(chat(TEXT), None)
    assert (found.images, found.audio, found.dear) == (1, 0, ())
    assert found.size == without.size + PART
    captioned = content_of(chat(TEXT, {**part, "text": "a cat"}), None)
    assert captioned.size > found.size


@pytest.mark.parametrize(
    ("part", "images", "audio", "dear"),
    [
        ({"image_url": {"url": "https://example.org/a.png"}}, 1, 0, ()),
        ({"image": "https://example.org/a.png"}, 1, 0, ()),
        ({"audio_url": {"url": "https://example.org/a.wav"}}, 0, 1, ()),
        ({"video_url": {"url": "https://example.org/a.mp4"}}, 0, 0, ("content.video_url",)),
        ({"fileData": {"fileUri": "gs://a/b.pdf"}}, 0, 0, ("content.fileData",)),
        ({**TEXT, "image_url": {"url": "https://example.org/a.png"}}, 1, 0, ()),
        ({**TEXT, "video_url": {"url": "https://example.org/a"}}, 0, 0, ("content.video_url",)),
        ({"text": "hi", "file_id": "f"}, 0, 0, ("content.file_id",)),
        ({"image_url": ["a.png", "b.png"], "type": "image_url"}, 2, 0, ()),
        ({**TEXT, "image_url": None, "file": None}, 0, 0, ()),
        ({"text": "hi", "image_url": None}, 0, 0, ()),
        ({"text": "hi", "index": 3}, 0, 0, ()),
        ({"cache_control": None}, 0, 0, ()),
    ],
)
def test_parts_are_what_their_fields_say(
    part: dict[str, Any], images: int, audio: int, dear: tuple[str, ...]
) -> None:
    """Servers such as vLLM take a part without a type for what it holds; null is left out."""
    found = content_of(chat(TEXT, part), None)
    assert (found.images, found.audio, found.dear) == (images, audio, dear)


@pytest.mark.parametrize(("given", "images"), [(["AA", "AA"], 2), ([], 0), ("A" * 500, 0)])
def test_images_of_a_message(given: Any, images: int) -> None:
    """A list, as Ollama has them, is counted; anything else is text like other fields."""
    message = {"role": "user", "content": "hi"}
    found = content_of({"messages": [{**message, "images": given}]}, None)
    assert found.images == images
    without = content_of({"messages": [message]}, None).size
    assert found.size >= without + (images * PART or len(given))


@pytest.mark.parametrize("field", ["tools", "functions"])
def test_tools_are_explained_to_the_model(field: str) -> None:
    """By prompts of the server's own, which no byte of the query counts."""
    one = {"type": "function", "function": {"name": "f"}}
    found = content_of(chat(TEXT, **{field: [one]}), None)
    without = content_of(chat(TEXT, **{"response_format": [one]}), None)
    assert found.size >= without.size + TOOL_TEMPLATE - 20
    assert content_of(chat(TEXT, tools=[]), None).size < without.size


def test_audio_is_counted_not_measured() -> None:
    """Of the query, and of an answer before."""
    payload = chat(TEXT, SOUND)
    payload["messages"].append({"role": "assistant", "audio": {"id": "a1"}})
    assert content_of(payload, None).audio == 2
    assert content_of(payload, None).size < 500


def test_parts_of_unknown_kinds_may_cost_anything() -> None:
    """A file may hold a book; caching has prices of its own."""
    file = {"type": "file", "file": {"file_id": "f1"}}
    kept = {**TEXT, "cache_control": {"type": "ephemeral"}}
    payload = chat(file, kept, service_tier="priority")
    assert content_of(payload, None).dear == (
        "content.file",
        "messages.cache_control",
        "service_tier",
    )


def test_choices() -> None:
    """One, unless `n` says otherwise."""
    assert content_of(chat(TEXT), None).choices == 1
    assert content_of(chat(TEXT, n=None), None).choices == 1
    assert content_of(chat(TEXT, n=3), None).choices == 3


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("The cat sat on the mat. " * 1000, 6000, 12_000),
        ("今天天气很好，我们去公园散步。" * 1000, 9_000, 25_000),
        ("0123456789" * 100, 1000, 1000),
        ("", 0, 0),
    ],
)
def test_likely_tokens(text: str, least: int, most: int) -> None:
    """Above what tokenizers make of it, and far below its bytes where it is prose."""
    assert least <= likely_tokens(text.encode()) <= most


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The cat sat on the mat, and looked at the dog. " * 20, "prose"),
        ("for (int i = 0; i < n; i++) { total += values[i]; }\n" * 20, "code"),
        ("3.14159,2.71828,1.41421\n" * 20, "signs"),
        ("今天天气很好, so it is. " * 20, "scripts"),
        ("", "prose"),
    ],
)
def test_kinds_of_text(text: str, kind: str) -> None:
    """By the signs and letters of which most of it is made, bare or in messages."""
    assert content_of(None, text).kind == kind
    assert content_of(chat({"type": "text", "text": text}), None).kind == kind
