"""The words of an answer: one reader for all the forms in which model servers give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.content import TEXT_PARTS

_CHOICES = ("choices", "candidates", "generations", "outputs")
"""Lists of choices: of OpenAI, Gemini, Cohere, and Mistral on Bedrock."""
_WORDS = (
    (),  # words alone, a list of parts, or `text`: completions, Cohere's API of before
    ("message", "content"),  # chats of OpenAI, Ollama and Cohere
    ("content",),  # Anthropic, llama.cpp
    ("content", "parts"),  # Gemini
    ("output", "message", "content"),  # Bedrock
    ("output", "content"),  # OpenAI's responses
    ("response",),  # what Ollama generates
    ("generated_text",),  # TGI
    ("generation",),  # Llama on Bedrock
    ("message",),
    ("output",),
)
"""Where the words of a choice are: the first place that has any. Lists on the way are joined."""
ANSWER_FIELDS = frozenset(_CHOICES) | {name for path in _WORDS for name in path}
"""Names under which there may be words."""


def answer_choices(response: object) -> list[Any]:
    """Return the choices of an answer, in any form; one that lists none is the only one."""
    if isinstance(response, Mapping):
        for name in _CHOICES:
            if isinstance(found := response.get(name), list) and found:
                return found
    return [response]


def answer_texts(response: object) -> list[str]:
    """Return the words of each choice of an answer, in any form.

    Known are the forms of OpenAI, Anthropic, Gemini, Ollama, llama.cpp, Cohere, Bedrock and TGI.
    What a model thinks is not part of its words.

    Args:
        response: What the model said, as its server gave it.

    Returns:
        A text for each choice, at least one; "" for one without words.
    """
    return [choice_text(choice) for choice in answer_choices(response)]


def choice_text(choice: object) -> str:
    """Return the words of one choice; "" where it has none."""
    for path in _WORDS:
        if text := "".join(map(_part_text, parts_at(choice, path))):
            return text
    return ""


def parts_at(choice: object, path: Sequence[str]) -> list[Any]:
    """Return what lies at a path of names in a choice. Lists on the way are joined."""
    parts = _flat(choice)
    for name in path:
        parts = [
            inner for part in parts if isinstance(part, Mapping) for inner in _flat(part.get(name))
        ]
    return parts


def _flat(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _part_text(part: object) -> str:
    """The words of a part of a message; "" for anything else."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping) or part.get("thought"):  # as Gemini marks it
        return ""
    kind, text = part.get("type"), part.get("text")
    is_text = kind is None or (isinstance(kind, str) and kind in TEXT_PARTS)
    return text if is_text and isinstance(text, str) else ""
