"""The calls of tools in an answer: one reader for the forms in which model servers give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from schemas.answer_text import parts_at

_PLACES = (
    ("message", "tool_calls"),  # chats of OpenAI, Ollama and Cohere
    ("tool_calls",),  # Cohere's API of before
    ("content",),  # Anthropic
    ("content", "parts"),  # Gemini
    ("output", "message", "content"),  # Bedrock
    ("output",),  # OpenAI's responses
)
_INNER = ("function", "functionCall", "toolUse")
"""Where a part holds its call: OpenAI, Gemini, Bedrock. In other forms the part is the call."""
_KINDS = ("tool_use", "function_call")
"""Parts that are a call: of Anthropic, and of OpenAI's responses."""
_ARGUMENTS = ("arguments", "input", "args", "parameters")
_IDS = ("call_id", "toolUseId", "id")


def choice_calls(choice: object) -> list[dict[str, Any]]:
    """Return the calls of tools in one choice of an answer, as OpenAI writes them.

    Known are the forms of OpenAI, Anthropic, Gemini, Ollama, Cohere and Bedrock. A call without an
    id is numbered.
    """
    found = [call for path in _PLACES for call in _calls(choice, path)]
    return [
        {"id": id or f"call_{i}", "type": "function", "function": function}
        for i, (id, function) in enumerate(found)
    ]


def _calls(choice: object, path: tuple[str, ...]) -> Iterator[tuple[str | None, dict[str, str]]]:
    for part in parts_at(choice, path):
        if not isinstance(part, Mapping):
            continue
        inner = [part[name] for name in _INNER if isinstance(part.get(name), Mapping)]
        if not inner and part.get("type") not in _KINDS and path[-1] != "tool_calls":
            continue
        call: Mapping[str, Any] = inner[0] if inner else part
        name = call.get("name")
        if isinstance(name, str) and name:
            given: Any = next((call[each] for each in _ARGUMENTS if call.get(each) is not None), {})
            text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
            ids = [each[key] for key in _IDS for each in (call, part) if each.get(key)]
            id = next((each for each in ids if isinstance(each, str)), None)
            yield id, {"name": name, "arguments": text}
