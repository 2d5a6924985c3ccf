"""The backend that repeats the query: words, usage, and the form of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import Routed
from schemas.fields import Source
from schemas.result import Usage
from streams.worker.backends.echo import Echo


def routed(max_tokens: int = 100, **text: Any) -> Routed:
    return Routed(
        id="a",
        decision_id="decision a",
        model="m",
        max_tokens=max_tokens,
        reserved=1000,
        policy="test",
        source=Source("queries", 0, 0),
        **text,
    )


@pytest.mark.parametrize(
    ("max_tokens", "answer", "reason"),
    [
        (2, "two words,", "length"),
        (4, "two words, or four", "stop"),
        (9, "two words, or four", "stop"),
    ],
)
async def test_words_within_max_tokens(max_tokens: int, answer: str, reason: str) -> None:
    """It repeats as many words as are allowed, and says where it was cut."""
    result = await Echo().answer(routed(max_tokens, prompt="two  words, or\nfour"))
    (choice,) = result.response["choices"]
    assert choice["message"] == {"role": "assistant", "content": answer}
    assert choice["finish_reason"] == reason


async def test_the_usage_is_what_was_read_and_said() -> None:
    """A word is a token, in the result and in the response; the cost is left to the prices."""
    result = await Echo().answer(routed(2, prompt="one two three"))
    assert result.usage == Usage(prompt_tokens=3, completion_tokens=2)
    assert result.response["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
    }
    assert result.cost is None


async def test_a_payload_is_repeated_message_by_message() -> None:
    """Texts of all messages, whether they stand alone or in parts."""
    parts = [{"type": "text", "text": "and you"}, {"type": "image_url", "image_url": {}}]
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": parts}]
    result = await Echo().answer(routed(payload={"messages": messages}))
    assert result.response["choices"][0]["message"]["content"] == "be kind and you"


@pytest.mark.parametrize("payload", [{}, {"messages": None}, {"messages": ["text"]}])
async def test_a_payload_without_messages_is_refused(payload: dict[str, Any]) -> None:
    """The result says why, and nothing is charged."""
    result = await Echo().answer(routed(payload=payload))
    assert (result.status_code, result.cost) == (400, 0)
    assert result.error is not None
    assert "no messages" in result.error.message
