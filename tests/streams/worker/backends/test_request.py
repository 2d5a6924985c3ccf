"""The request that is made of a routed query."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from schemas import Routed, Source
from streams.worker.backends.request import TOKEN_FIELDS, RequestForm

MESSAGES = [{"role": "user", "content": "?"}]


def routed(**payload: Any) -> Routed:
    return Routed(
        id="a",
        decision_id="d",
        model="m",
        max_tokens=100,
        reserved=1,
        policy="test",
        source=Source("queries", 0, 0),
        payload={"messages": MESSAGES, **payload},
    )


@pytest.mark.parametrize("name", TOKEN_FIELDS)
@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, 100),
        ({"max_tokens": 10**6}, 100),
        ({"max_completion_tokens": 50}, 50),
        ({"max_tokens": 70, "max_completion_tokens": 60}, 60),
        ({"max_tokens": 40, "max_completion_tokens": 10**6}, 40),
        ({"max_tokens": None, "max_completion_tokens": "5"}, 100),
    ],
)
def test_the_limit_of_tokens(name: str, given: dict[str, Any], limit: int) -> None:
    """It stands once, under the name the server knows, and is the smallest of all."""
    body = RequestForm(max_tokens_field=name).body("gpt", routed(**given))
    assert {key: body[key] for key in TOKEN_FIELDS if key in body} == {name: limit}


def test_what_passes() -> None:
    """All but what the worker must set; the configuration wins over the query."""
    form = RequestForm(extra_body={"top_k": 5, "temperature": 0, "model": "dear", "stream": True})
    body = form.body("gpt", routed(temperature=1, seed=2, n=9, stream=True, model="dear"))
    assert body == {
        "messages": MESSAGES,
        "temperature": 0,
        "seed": 2,
        "top_k": 5,
        "max_tokens": 100,
        "model": "gpt",
        "stream": False,
    }


def test_several_choices() -> None:
    """They are asked for where they are reserved for."""
    assert "n" not in RequestForm().body("gpt", routed(n=3))
    reserved = structs.replace(routed(n=3), start_by=1.0)
    assert RequestForm().body("gpt", reserved)["n"] == 3


def test_what_is_refused() -> None:
    """Fields that may change the price, but those that the configuration allows."""
    asked = routed(service_tier="flex", best_of=3, seed=1)
    assert RequestForm().refused(asked) == ["service_tier", "best_of"]
    assert RequestForm(allow_fields=["best_of"]).refused(asked) == ["service_tier"]
