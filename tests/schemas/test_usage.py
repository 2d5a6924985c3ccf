"""Usage in every form that servers report it, and what is not believed of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.fields import INT64
from schemas.invalid import Invalid
from schemas.usage import Usage, is_believable, read_usage, reported_usage
from tests.schemas.strategies import json_values

CONTEXT = 128_000


def usage(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> Usage:
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
    )


OPENAI = {"prompt_tokens": 12, "completion_tokens": 34}
FORMS: list[tuple[dict[str, Any], Usage]] = [
    (OPENAI, usage(12, 34)),
    ({**OPENAI, "total_tokens": 46}, usage(12, 34)),
    ({**OPENAI, "total_tokens": None, "prompt_tokens_details": None}, usage(12, 34)),
    ({"prompt_tokens": 12.0, "completion_tokens": 33.2}, usage(12, 34)),
    ({"prompt_tokens": "12", "completion_tokens": " 34.0 "}, usage(12, 34)),
    ({"prompt_tokens": 12, "completion_tokens": None, "total_tokens": 46}, usage(12, 34)),
    ({"completion_tokens": 34, "total_tokens": 46}, usage(12, 34)),
    ({"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 12, "output_tokens": 34},
     usage(12, 34)),
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": 5},
      "completion_tokens_details": {"reasoning_tokens": 6}}, usage(12, 34, 5, 6)),
    # reasoning counted apart: by the total, by its own size
    ({**OPENAI, "total_tokens": 146, "completion_tokens_details": {"reasoning_tokens": 100}},
     usage(12, 134, 0, 100)),
    ({**OPENAI, "completion_tokens_details": {"reasoning_tokens": 100}}, usage(12, 134, 0, 100)),
    ({"input_tokens": 12, "output_tokens": 34}, usage(12, 34)),
    ({"input_tokens": 12, "output_tokens": 34, "input_tokens_details": {"cached_tokens": 5},
      "output_tokens_details": {"reasoning_tokens": 6}}, usage(12, 34, 5, 6)),
    # Anthropic counts cached input beside the rest, gateways that rename it do not
    ({"input_tokens": 2, "output_tokens": 34, "cache_read_input_tokens": 7,
      "cache_creation_input_tokens": 3}, usage(12, 34, 7)),
    ({**OPENAI, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 3},
     usage(12, 34, 7)),
    ({"inputTokens": 12, "outputTokens": 34, "totalTokens": 46, "cacheReadInputTokens": 5},
     usage(12, 34, 5)),
    ({"inputTokens": 2, "outputTokens": 34, "totalTokens": 46, "cacheReadInputTokenCount": 7,
      "cacheWriteInputTokenCount": 3}, usage(12, 34, 7)),
    ({"inputTokens": 12, "outputTokens": 34, "totalTokens": 46, "cachedInputTokens": 5},
     usage(12, 34, 5)),
    # a detail that cannot be read takes nothing from the sums
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": "n/a"},
      "completion_tokens_details": {"reasoning_tokens": -1}}, usage(12, 34)),
    ({**OPENAI, "prompt_tokens_details": {"cached_tokens": True}}, usage(12, 34)),
    ({"promptTokenCount": 12, "candidatesTokenCount": 30, "thoughtsTokenCount": 4,
      "totalTokenCount": 46, "cachedContentTokenCount": 5}, usage(12, 34, 5, 4)),
    ({"promptTokenCount": 12, "thoughtsTokenCount": 34, "totalTokenCount": 46},
     usage(12, 34, 0, 34)),
    ({"prompt_eval_count": 12, "eval_count": 34, "eval_duration": 1}, usage(12, 34)),
    ({"billed_units": {"input_tokens": 12, "output_tokens": 34}}, usage(12, 34)),
    ({"prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 7, "completion_tokens": 34},
     usage(12, 34, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("report", "read"), FORMS)
def test_forms(report: dict[str, Any], read: Usage) -> None:
    """Each form says the same: cached input and reasoning are parts of the two sums."""
    assert read_usage(report) == read


@pytest.mark.parametrize(
    "report",
    [
        None,
        {},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": 12},
        {"prompt_tokens": 12, "completion_tokens": ""},
        {"completion_tokens": 34},
        {"total_tokens": 5000},
        {"prompt_tokens": 12, "completion_tokens": 1e300},
        {"queue_time": 0.1},
    ],
)
def test_reports_that_say_nothing(report: object) -> None:
    """They are no usage of 0 tokens."""
    assert read_usage(report) is None


@pytest.mark.parametrize(
    ("report", "field"),
    [
        (5, "usage"),
        ([OPENAI], "usage"),
        ("12", "usage"),
        ({**OPENAI, "prompt_tokens": -1}, "usage.prompt_tokens"),
        ({**OPENAI, "completion_tokens": "many"}, "usage.completion_tokens"),
        ({**OPENAI, "completion_tokens": True}, "usage.completion_tokens"),
        ({**OPENAI, "completion_tokens": {}}, "usage.completion_tokens"),
        ({**OPENAI, "total_tokens": float("nan")}, "usage.total_tokens"),
        ({**OPENAI, "cached_tokens": -5}, "usage.cached_tokens"),
    ],
)
def test_reports_that_are_none(report: object, field: str) -> None:
    """The reason names the field."""
    with pytest.raises(Invalid) as caught:
        read_usage(report)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "answer",
    [
        {"usage": OPENAI},
        {"usage": {}, "x_groq": {"usage": OPENAI}},
        {"usage": None, "choices": [{"usage": OPENAI}]},
        {"usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 34}},
        {"meta": {"tokens": {"input_tokens": 12, "output_tokens": 34}}},
        {"message": {"content": "4"}, "prompt_eval_count": 12, "eval_count": 34},
    ],
)
def test_usage_stands_anywhere(answer: dict[str, Any]) -> None:
    """It is found in the answer, in its choices, and under the names of other APIs."""
    assert reported_usage(answer) == usage(12, 34)


def test_usage_of_several_choices() -> None:
    """Of each, or of all? Only one that stands alone is believed."""
    choices = [{"usage": OPENAI}, {"usage": OPENAI}]
    assert reported_usage({"choices": choices}) is None
    assert reported_usage({"choices": [*choices[:1], {"usage": None}, {}]}) is not None


@pytest.mark.parametrize(
    ("used", "text", "believed"),
    [
        (usage(12, 34), "four", True),
        (usage(12, 0), "", True),
        (usage(12, 0), "four", False),
        (usage(0, 0), "", False),
        (usage(0, 34), "four", False),
        (usage(12, 1), "four " * 1000, False),
        (usage(12, 40), "four " * 1000, True),
        (usage(12, 2**32 - 1), "four", False),
        (usage(CONTEXT, 1), "four", False),
        (usage(CONTEXT - 1, 1), "four", True),
    ],
)
def test_what_is_believed(used: Usage, text: str, believed: bool) -> None:
    """No prompt without tokens, no text without tokens, no more than the context holds."""
    for response in (
        text,
        {"choices": [{"message": {"role": "assistant", "content": text}}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": text}]}}]},
        {"choices": [{"message": {"tool_calls": [{"function": {"arguments": text}}]}}]},
        {"choices": [{"message": {"content": "", "reasoning": text}}]},
        {
            "choices": [
                {
                    "message": {
                        "content": [
                            {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
                        ]
                    }
                }
            ]
        },
        {"message": {"content": text}},
        {"response": text},
        {"candidates": [{"content": {"parts": [{"text": text}]}}]},
    ):
        assert is_believable(used, response, CONTEXT) == believed


def test_each_choice_has_a_context() -> None:
    """Several choices may have more output tokens together than one could."""
    answer = {"choices": [{"message": {"content": "four"}}] * 3}
    assert is_believable(usage(10, 250), answer, 100)
    assert not is_believable(usage(10, 280), answer, 100)


names = st.sampled_from(sorted({name for report, _ in FORMS for name in report}))
numbers = st.integers(-2, 10) | st.floats() | st.sampled_from(["7", "-7", "x", "", None, 2**80])


@given(st.dictionaries(names, numbers | json_values, max_size=6) | json_values)
def test_any_report(report: Any) -> None:
    """It is read or refused, and what is read is sound."""
    try:
        read = read_usage(report)
    except Invalid:
        return
    if read is not None:
        assert 0 <= read.cached_tokens <= read.prompt_tokens <= INT64
        assert 0 <= read.reasoning_tokens <= read.completion_tokens <= INT64


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_results_are_read_as_they_are(
    prompt: int, completion: int, cached: int, reasoning: int
) -> None:
    """Reading twice changes nothing more."""
    given_ = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cached_tokens": cached,
        "reasoning_tokens": reasoning,
    }
    once = read_usage(given_)
    assert once is not None
    assert once.prompt_tokens >= prompt
    assert once.completion_tokens >= completion
    again = {name: getattr(once, name) for name in given_}
    assert read_usage(again) == once


@given(json_values)
def test_any_response_is_judged(response: Any) -> None:
    """Whatever form an answer has, usage beside it can be judged."""
    assert is_believable(usage(1, 10_000), response, CONTEXT) in (True, False)
