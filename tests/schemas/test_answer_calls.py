"""Calls of tools, in whatever form a server gives them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from schemas.answer_calls import choice_calls
from schemas.answer_text import answer_choices
from tests.schemas.strategies import json_values
from tests.support.foreign_answers import CALLS, FOREIGN

WITHOUT_IDS = {"Ollama", "Gemini", "Cohere v1"}


@pytest.mark.parametrize("form", CALLS)
def test_forms(form: str) -> None:
    """A call is found, and written as OpenAI writes it."""
    (choice,) = answer_choices(CALLS[form])
    function = {"name": "weather", "arguments": '{"city":"Rome"}'}
    id = "call_0" if form in WITHOUT_IDS else "c1"
    assert choice_calls(choice) == [{"id": id, "type": "function", "function": function}]


@pytest.mark.parametrize("response", list(FOREIGN.values()), ids=list(FOREIGN))
def test_words_are_no_calls(response: Any) -> None:
    """An answer of words calls nothing."""
    assert [choice_calls(each) for each in answer_choices(response)] == [[]]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [({"name": "f"}, "{}"), ({"name": "f", "input": None}, "{}"), ({"name": "f", "args": 7}, "7")],
)
def test_arguments(call: dict[str, Any], arguments: str) -> None:
    """They are text; none are an empty object."""
    (found,) = choice_calls({"content": [{"type": "tool_use", **call}]})
    assert found["function"] == {"name": "f", "arguments": arguments}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "tool_use"},
        {"type": "tool_use", "name": ""},
        {"type": "tool_use", "name": ["f"]},
        {"type": ["tool_use"], "name": "f"},
        {"type": "server_tool_use", "name": "web_search", "input": {}},
        {"functionCall": "f"},
        {"functionCall": {"args": {}}},
    ],
    ids=str,
)
def test_what_is_no_call(part: Any) -> None:
    """A part that names no tool of the client's is none."""
    assert choice_calls({"content": [part]}) == []


@given(json_values)
def test_any_response(response: Any) -> None:
    """Whatever an answer is, its calls have names and arguments."""
    for choice in answer_choices(response):
        for call in choice_calls(choice):
            assert call["function"]["name"]
            assert isinstance(call["function"]["arguments"], str)
