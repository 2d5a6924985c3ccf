"""The words of answers, in whatever form a server gives them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from schemas.answer_text import answer_choices, answer_texts
from tests.schemas.strategies import json_values
from tests.support.foreign_answers import FOREIGN


@pytest.mark.parametrize("response", list(FOREIGN.values()), ids=list(FOREIGN))
def test_forms(response: Any) -> None:
    """The words are found in the forms of other servers than OpenAI's, without what was thought."""
    assert answer_texts(response) == ["hello, world"]


@pytest.mark.parametrize(
    ("response", "texts"),
    [
        ({"choices": [{"message": {"content": "a"}}, {"text": "b"}, None]}, ["a", "b", ""]),
        ({"candidates": [{"content": {"parts": [{"text": each}]}} for each in "ab"]}, ["a", "b"]),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, "b"]}}]}, ["ab"]),
        ({"choices": [], "response": "a"}, ["a"]),
    ],
    ids=["OpenAI", "Gemini", "parts", "no choices"],
)
def test_choices(response: Any, texts: list[str]) -> None:
    """Each choice has its own words."""
    assert answer_texts(response) == texts
    assert len(answer_choices(response)) == len(texts)


@pytest.mark.parametrize(
    "response",
    [
        None,
        7,
        {},
        {"choices": "hello"},
        {"choices": [{"message": {"content": None}}]},
        {"content": [{"type": "tool_use", "name": "f", "input": {"text": "x"}}]},
        {"content": [{"type": ["text"], "text": "x"}, {"text": 7}]},
    ],
    ids=str,
)
def test_no_words(response: Any) -> None:
    """What holds no words has the empty text."""
    assert answer_texts(response) == [""]


@given(json_values)
def test_any_response(response: Any) -> None:
    """Whatever an answer is, it has a text for each choice."""
    assert len(answer_texts(response)) == len(answer_choices(response)) > 0
