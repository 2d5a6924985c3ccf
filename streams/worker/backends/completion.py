"""What a server's answer to a chat completion says: lenient in what is not needed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from schemas.invalid import Invalid
from schemas.lenient import read_json
from schemas.usage import LONGEST_TOKEN, Usage, is_believable, reported_usage, text_length

LONGEST_REFUSAL = 10_000
"""Bytes of an error in which its reason is looked for."""
LONGEST_REASON = 500
"""Characters of a provider's error message that are passed on."""


TOO_LONG = re.compile(
    r"context[ _](length|window|size|limit)|(prompt|input) is too long|inputs\W{0,2} tokens \+"
    r"|token count.{0,40} exceeds",
    re.IGNORECASE,
)
"""What servers say of a prompt and an answer that do not fit their context: OpenAI, vLLM, SGLang,
llama.cpp, Anthropic, Bedrock, TGI, Gemini."""
TOO_LARGE = re.compile(r"request (is )?too large", re.IGNORECASE)
"""What servers say of one that is larger than what they take in a minute: OpenAI (429), Groq (413).
No waiting mends it."""


class NoCompletion(ValueError):
    """An answer that is no chat completion, though its HTTP status says so."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat completion, or the error that stands in its place.

    Attributes:
        response: The answer, cleaned so that a message can carry it.
        usage: Tokens used; None where it is not told, or not to be believed.
        failure: The status of the error that came instead of choices; None for an answer.
    """

    response: dict[str, Any]
    usage: Usage | None
    failure: int | None = None


def read_completion(data: bytes, context: int, asked: int = 0) -> Completion:
    """Read the body of an answer with a good HTTP status.

    Args:
        data: The body.
        context: Tokens that the model takes; usage of more is not believed.
        asked: Characters of the question; usage of too few tokens for it is not believed.

    Raises:
        NoCompletion: It is no JSON object with a list of choices or an error.
    """
    try:
        answer = read_json(data)
    except ValueError as error:
        raise NoCompletion(str(error)) from error
    if not isinstance(answer, dict):
        raise NoCompletion("it is no object")
    choices, problem = answer.get("choices"), _problem(answer)
    if problem:
        return Completion(answer, _usage(answer, context, asked), _status(problem))
    if not isinstance(choices, list):
        raise NoCompletion("it has no list of choices")
    return Completion(answer, _usage(answer, context, asked))


def read_reason(data: bytes, secrets: Iterable[str] = ()) -> str:
    """Return a server's error message, short and without secrets.

    Args:
        data: The body of its answer.
        secrets: The API key, and what else was sent that is nobody's business.
    """
    try:
        answer = read_json(data)
        error = (isinstance(answer, dict) and _problem(answer)) or answer["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (KeyError, TypeError, ValueError):
        text = data.decode(errors="replace")
    return without(secrets, text)[:LONGEST_REASON] or "the server gave no reason"


def says_too_long(status: int, data: bytes) -> bool:
    """Return whether a server refuses a query as longer than its context, or than it ever takes.

    Args:
        status: Of its answer, or of the error in it.
        data: The body of its answer.
    """
    text = data[:LONGEST_REFUSAL].decode(errors="replace")
    if status in (413, 429):
        return TOO_LARGE.search(text) is not None
    return status in (400, 422) and TOO_LONG.search(text) is not None


def without(secrets: Iterable[str], text: str) -> str:
    """Return a text in which secrets are blotted out."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def read_retry_after(headers: dict[str, str], now: float) -> float | None:
    """Return for how many seconds a server asks to wait.

    Args:
        headers: Of its answer, with names in lower case.
        now: Unix seconds.

    Returns:
        0 or more; None where no header says it in a form that is known.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        try:  # several, where a proxy adds its own: the longest
            seconds = max(map(float, value.split(","))) * unit
        except ValueError:
            continue
        if isfinite(seconds):
            return max(seconds, 0.0)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now, 0.0)
    except (IndexError, OverflowError, TypeError, ValueError):
        return None


def _usage(answer: dict[str, Any], context: int, asked: int) -> Usage | None:
    try:
        usage = reported_usage(answer)
    except Invalid:
        return None
    if usage is None or usage.prompt_tokens * LONGEST_TOKEN < asked:
        return None
    return usage if is_believable(usage, answer, context) else None


def _problem(answer: dict[str, Any]) -> object:
    """The error that stands where choices should; gateways put it into the choices, too."""
    choices = answer.get("choices")
    if not choices:
        return answer.get("error")
    if text_length(choices) or not isinstance(choices, list):
        return None
    found = [choice.get("error") for choice in choices if isinstance(choice, dict)]
    return found[0] if len(found) == len(choices) and all(found) else None


def _status(error: object) -> int:
    """The HTTP status that an error in a body names, as gateways do; 502 where it names none."""
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    return code if isinstance(code, int) and 400 <= code <= 599 else 502
