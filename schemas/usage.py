"""Token usage: one reader for all the forms in which servers report it, and what is believable."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from schemas.answer_text import ANSWER_FIELDS, answer_choices
from schemas.fields import INT64, Count
from schemas.invalid import Invalid, wrong

LONGEST_TOKEN = 128
"""Characters; no vocabulary in use has a longer token, so a text has at least length / this."""


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens that an answer used.

    Attributes:
        prompt_tokens: Input tokens, cached ones included.
        completion_tokens: Output tokens, reasoning included.
        cached_tokens: Input tokens that came from a cache.
        reasoning_tokens: Output tokens spent on reasoning.
    """

    prompt_tokens: Count
    completion_tokens: Count
    cached_tokens: Count = 0
    reasoning_tokens: Count = 0


def read_usage(report: object) -> Usage | None:
    """Read usage as a server or worker reports it.

    Known are the names of OpenAI, Anthropic, Bedrock, Gemini, Ollama, llama.cpp, Cohere and
    DeepSeek; numbers may be floats or strings. Of prompt, completion and total one may be missing.
    Tokens that are counted apart (reasoning that the total or its own size shows not to be part
    of the completion, cached input beside `input_tokens`) are added, so that both sums are whole.

    Args:
        report: The object that holds the numbers, of any type.

    Returns:
        The usage; None where the report does not say how many tokens were used.

    Raises:
        Invalid: It is no object, or a number in it is none or below 0.
    """
    if report is None:
        return None
    if not isinstance(report, Mapping):
        raise wrong("usage", report, "it must be an object")
    if (plain := _plain(report)) is not None:
        return plain
    given = _numbers(report)
    prompt, completion = _count(given, _PROMPT), _count(given, _COMPLETION)
    total = _count(given, _TOTAL)
    if prompt is None and given.keys() >= _DEEPSEEK:
        prompt = sum(_whole(name, given[name]) for name in _DEEPSEEK)
    cached, reasoning = _count(given, _CACHED) or 0, _count(given, _REASONING) or 0
    if prompt is not None:
        prompt += _count(given, _MORE_PROMPT) or 0
        if cached > prompt or _is_beside(given, prompt, completion, total):
            prompt += cached + (_count(given, _CACHE_WRITES) or 0)
    if completion is not None and (reasoning > completion or not _THOUGHTS.isdisjoint(given)):
        completion += reasoning  # Gemini always counts it apart
    if total is not None:
        if prompt is None and completion is not None:
            prompt = max(total - completion, 0)
        elif prompt is not None:
            completion = max(completion or 0, total - prompt)
    if prompt is None or completion is None or max(prompt, completion) > INT64:
        return None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=min(cached, prompt),
        reasoning_tokens=min(reasoning, completion),
    )


def reported_usage(answer: Mapping[str, Any]) -> Usage | None:
    """Read the usage out of a server's whole answer, wherever it stands.

    Returns:
        The first that says how many tokens were used; None where there is none.

    Raises:
        Invalid: What stands there is not usage.
    """
    for report in _reports(answer):
        if (usage := read_usage(report)) is not None:
            return usage
    return None


def is_believable(usage: Usage, response: object, context: int) -> bool:
    """Whether an answer can have used so many tokens.

    Not believed: no token of input, fewer output tokens than the text of the answer must have,
    more tokens than the model's context holds for each choice.

    Args:
        usage: As reported.
        response: The answer, in any form.
        context: Tokens that the model takes, prompt and answer together.
    """
    length = usage.prompt_tokens + usage.completion_tokens // len(answer_choices(response))
    if usage.prompt_tokens < 1 or length > context:
        return False
    return usage.completion_tokens * LONGEST_TOKEN >= text_length(response)


def text_length(value: object) -> int:
    """Return the characters of text in an answer or in messages, in the forms that are known."""
    length, left = 0, [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            length += len(part)
        elif isinstance(part, list):
            left += part
        elif isinstance(part, Mapping):
            left += [part[name] for name in _TEXTS if name in part]
    return length


_DETAILS = frozenset(
    f"{kind}{name}"
    for kind in ("prompt", "completion", "input", "output")
    for name in ("_tokens_details", "TokensDetails", "TokenDetails")
)
_PROMPT = frozenset(
    [
        "prompt_tokens",
        "input_tokens",
        "promptTokens",
        "inputTokens",
        "promptTokenCount",
        "inputTokenCount",
        "prompt_token_count",
        "input_token_count",
        "prompt_eval_count",
        "tokens_evaluated",
    ]
)
_COMPLETION = frozenset(
    [
        "completion_tokens",
        "output_tokens",
        "completionTokens",
        "outputTokens",
        "candidatesTokenCount",
        "outputTokenCount",
        "candidates_token_count",
        "completion_token_count",
        "output_token_count",
        "generated_tokens",
        "eval_count",
        "tokens_predicted",
    ]
)
_TOTAL = frozenset(("total_tokens", "totalTokens", "totalTokenCount", "total_token_count"))
_READ_BESIDE = frozenset(
    ("cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount")
)
_CACHE_WRITES = frozenset(
    ("cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount")
)
_CACHED = _READ_BESIDE | frozenset(
    [
        "cached_tokens",
        "cachedTokens",
        "cachedInputTokens",
        "cachedContentTokenCount",
        "cached_content_token_count",
        "prompt_cache_hit_tokens",
    ]
)
_THOUGHTS = frozenset(("thoughtsTokenCount", "thoughts_token_count"))
_REASONING = _THOUGHTS | frozenset(("reasoning_tokens", "reasoningTokens"))
_MORE_PROMPT = frozenset(("toolUsePromptTokenCount", "tool_use_prompt_token_count"))
_DEEPSEEK = frozenset(("prompt_cache_hit_tokens", "prompt_cache_miss_tokens"))
_DIGITS = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19})?")


def _plain(report: Mapping[str, Any]) -> Usage | None:
    """Usage in the form of a result, which needs no interpretation; None for any other."""
    try:
        usage = Usage(**report)
        sound = 0 <= usage.cached_tokens <= usage.prompt_tokens <= INT64
        sound = sound and 0 <= usage.reasoning_tokens <= usage.completion_tokens <= INT64
    except TypeError:
        return None
    return usage if sound and {int} == set(map(type, report.values())) else None


def _numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a report and its details give, by name, without what is null or empty."""
    for inner in ("billed_units", "tokens"):  # Cohere
        if isinstance(report.get(inner), Mapping):
            report = report[inner]
    given = {name: value for name, value in report.items() if value is not None and value != ""}
    for details in given.keys() & _DETAILS:
        if isinstance(given[details], Mapping):
            for name in given[details].keys() & (_CACHED | _REASONING):
                if _is_count(given[details][name]):
                    given.setdefault(name, given[details][name])
    return given


def _is_count(value: object) -> bool:
    """Whether a detail can be read; the sums do not depend on one that cannot."""
    try:
        return value not in (None, "") and _whole("", value) >= 0
    except Invalid:
        return False


def _is_beside(
    given: Mapping[str, Any], prompt: int, completion: int | None, total: int | None
) -> bool:
    """Whether cached input is counted beside the prompt, as Anthropic and Bedrock do."""
    if "prompt_tokens" in given or given.keys().isdisjoint(_READ_BESIDE | _CACHE_WRITES):
        return False
    return total is None or completion is None or total > prompt + completion


def _count(given: Mapping[str, Any], names: frozenset[str]) -> int | None:
    """The largest number under these names; None where there is none."""
    return max((_whole(name, given[name]) for name in names & given.keys()), default=None)


def _whole(name: str, value: object) -> int:
    """A number of tokens, rounded up. Raises Invalid for what is none."""
    if type(value) is int and value >= 0:
        return value
    field = f"usage.{name}"
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(field, value, "it must be a number of tokens")
    if value < 0:
        raise wrong(field, value, "it must be at least 0")
    return math.ceil(value)


def _reports(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Where servers put their usage: what is named so, the choices', and the answer itself."""
    places = [answer.get(name) for name in ("usage", "usageMetadata", "usage_metadata", "meta")]
    if isinstance(groq := answer.get("x_groq"), Mapping):
        places.append(groq.get("usage"))
    places += _usage_of_choices(answer)
    places.append(answer)
    return (place for place in places if isinstance(place, Mapping))


def _usage_of_choices(answer: Mapping[str, Any]) -> list[Any]:
    """The usage that stands in the only choice; of several nobody knows whether each is a part."""
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return []
    found = [choice.get("usage") for choice in choices if isinstance(choice, Mapping)]
    found = [usage for usage in found if usage]
    return found if len(found) == 1 else []


_TEXTS = ANSWER_FIELDS | {
    "text",
    "refusal",
    "reasoning_content",
    "reasoning",
    "thinking",
    "tool_calls",
    "function_call",
    "function",
    "arguments",
}
