"""Which fields of a body pass: those that cannot change the price."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.payload_fields import how_to_allow, priced_fields

MESSAGES = [{"role": "user", "content": "?"}]
FUNCTION = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("fields", "priced"),
    [
        ({"temperature": 0, "tools": [FUNCTION], "tool_choice": "auto", "n": 2}, []),
        ({"service_tier": "auto", "modalities": ["text"], "best_of": 1}, []),
        ({"service_tier": None, "web_search_options": None}, []),
        ({"service_tier": "priority"}, ["service_tier"]),
        ({"best_of": 5, "num_predict": 9}, ["best_of", "num_predict"]),
        ({"web_search_options": {}, "models": ["x"]}, ["web_search_options", "models"]),
        ({"modalities": ["text", "audio"], "audio": {}}, ["modalities", "audio"]),
        ({"invented_tomorrow": 1}, ["invented_tomorrow"]),
        ({"tools": [FUNCTION, {"type": "web_search"}, {"type": "web_search"}]},
         ["tools.web_search"]),
        ({"tools": [{"type": ["x"]}, {"type": None}, 5]}, ["tools.['x']"]),
        ({"tools": [{"function": {"name": "f"}}, {}]}, []),
        ({"tools": [{"googleSearch": {}}, {"code_execution": {}}]},
         ["tools.code_execution", "tools.googleSearch"]),
        ({"tools": [{**FUNCTION, "google_search": {}, "url_context": None}]},
         ["tools.google_search"]),
        ({"tools": {"type": "web_search"}}, ["tools"]),
        ({"tools": ["web_search"]}, ["tools.web_search"]),
        ({"tools": [{"name": "f", "input_schema": {}}]}, []),
        ({"tools": {}}, []),
        ({"tools": [{**FUNCTION, "cache_control": {"type": "ephemeral"}}]},
         ["tools.cache_control"]),
        ({"tools": [{"type": "function", "function": {"name": "f", "cache_control": {}}}]},
         ["tools.cache_control"]),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, []),
        ({"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}]}, []),
    ],
)  # fmt: skip
def test_what_may_change_the_price(fields: dict[str, Any], priced: list[str]) -> None:
    """What is not known to be free of it does, unless its value says nothing."""
    assert priced_fields({"messages": MESSAGES, **fields}) == priced


def test_how_to_allow() -> None:
    """The message names the key to set, and where."""
    assert how_to_allow("m", ["best_of"]).endswith('set [models.m] allow_fields = ["best_of"]')
