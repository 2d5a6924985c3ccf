"""Chat completions: a request as a query, an answer as a completion, whole or as events."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, DecimalException, InvalidOperation
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from schemas.answer_calls import choice_calls
from schemas.answer_text import answer_choices, choice_text
from schemas.fields import NANO
from schemas.invalid import Invalid
from schemas.query import Query
from schemas.usage import reported_usage
from streams.client.answers import Answer
from streams.client.asynchronous import checked
from streams.client.errors import QueryRejected
from streams.serve.errors import ApiError, of_query, read_as
from streams.serve.keys import Caller

AUTO = frozenset({"auto", "sluice", "sluice/auto"})
"""Names of no model: Sluice chooses."""
IDEMPOTENT = "idem-"
"""Beginning of the ids of queries whose requests may be repeated."""
LONGEST_KEY = 256
"""Characters of an Idempotency-Key."""
LONGEST_DEADLINE = 30 * 86_400.0
_OURS = ("model", "stream", "stream_options", "metadata")
"""Fields of a request that are not the query's payload."""
_OF_EVENTS = ("id", "created", "model", "sluice", "system_fingerprint", "service_tier")
"""Fields of a completion that each of its events has."""


class Request(NamedTuple):
    """A request, checked.

    Attributes:
        query: What is sent.
        stream: Whether the answer is wanted as events.
        usage: Whether the last event is to carry the usage.
    """

    query: Query
    stream: bool
    usage: bool


def read(
    body: bytes,
    headers: Mapping[str, str],
    caller: Caller,
    models: Collection[str],
    deadline_seconds: float,
    new_id: str,
) -> Request:
    """Read and check a request.

    Args:
        body: OpenAI's chat-completions body.
        headers: X-Sluice-Deadline, -Max-Cost, -Tenant, -Floor, Idempotency-Key.
        caller: Whose request it is.
        models: Names that it may ask for.
        deadline_seconds: Where it names no deadline.
        new_id: The query's id, where the request cannot be repeated.

    Raises:
        ApiError: It is not valid; says which field is wrong.
    """
    asked = read_as(dict[str, Any], body)
    names = _models(asked.get("model"), models)
    stream, usage = _flag(asked, "stream"), _usage_wanted(asked)
    payload = {name: value for name, value in asked.items() if name not in _OURS}
    fields: dict[str, Any] = {
        "tenant": _tenant(headers, caller),
        "allowed_models": names,
        "max_cost": _max_cost(headers.get("x-sluice-max-cost")),
        "floor": _floor(headers.get("x-sluice-floor")),
        "deadline": time.time() + _deadline(headers, deadline_seconds),
        "created": time.time(),
        "metadata": asked.get("metadata") or None,
        "id": _id(headers.get("idempotency-key"), caller, body) or new_id,
    }
    try:
        query, _ = checked(payload, fields)
    except QueryRejected as error:
        raise of_query(error, 1) from None
    return Request(query, stream, usage)


def completion(answer: Answer, created: int) -> dict[str, Any]:
    """Return an answer in OpenAI's form, with what Sluice knows of it beside."""
    said = answer.response if isinstance(answer.response, dict) else {}
    used = said.get("usage")
    return {
        "id": said.get("id") or f"chatcmpl-{answer.id}",
        "object": "chat.completion",
        "created": said.get("created") or created,
        **{k: v for k, v in said.items() if k not in ("id", "object", "created", "model")},
        "choices": _choices(answer),
        "usage": used if isinstance(used, Mapping) and "prompt_tokens" in used else _usage(answer),
        "model": answer.model,
        "sluice": {
            "id": answer.id,
            "model": answer.model,
            "decision_id": answer.decision_id,
            "cost": answer.cost,
            "estimated": answer.result.estimated,
        },
    }


def described(answer: Answer) -> dict[str, str]:
    """Return the headers of an answer: id, model, decision, and its cost in units of currency."""
    headers = {
        "x-sluice-id": answer.id,
        "x-sluice-model": answer.model,
        "x-sluice-decision-id": answer.decision_id,
    }
    if answer.cost is not None:
        headers["x-sluice-cost"] = f"{Decimal(answer.cost) / NANO:f}"
    return {name: _printable(value) for name, value in headers.items()}


def events(whole: Mapping[str, Any], usage: bool) -> Iterator[bytes]:
    """Yield a completion as server-sent events: role, words, end of each choice, then [DONE].

    usage: send one more with what was used, as `stream_options.include_usage` asks for.
    """
    shared = {name: whole[name] for name in _OF_EVENTS if name in whole}
    shared["object"] = "chat.completion.chunk"

    def chunk(**fields: Any) -> bytes:
        return b"data: " + msgspec.json.encode({**shared, **fields}) + b"\n\n"

    for place, choice in enumerate(whole["choices"]):
        index, message = choice.get("index"), dict(choice["message"])
        index = place if index is None else index
        role = message.pop("role", "assistant")
        if isinstance(calls := message.get("tool_calls"), list):
            numbered = [(i, call) for i, call in enumerate(calls) if isinstance(call, Mapping)]
            message["tool_calls"] = [{"index": i, **call} for i, call in numbered]
        likely = {"logprobs": found} if (found := choice.get("logprobs")) is not None else {}
        for delta, more in (({"role": role, "content": ""}, {}), (message, likely)):
            yield chunk(choices=[{"index": index, "delta": delta, "finish_reason": None, **more}])
        end = {"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}
        yield chunk(choices=[end])
    if usage:
        yield chunk(choices=[], usage=whole["usage"])
    yield b"data: [DONE]\n\n"


def _models(asked: object, known: Collection[str]) -> list[str] | None:
    if not isinstance(asked, str) or not asked.strip():
        raise ApiError(400, "missing_field", "model: it must be auto, or a model's name", "model")
    if asked in known:
        return [asked]
    if asked in AUTO:
        return None
    names = list(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))
    if unknown := [name for name in names if name not in known]:
        there = ", ".join(["auto", *known])
        words = f"model: there is no {unknown[0][:100]!r}; there are: {there}"
        raise ApiError(404, "model_not_found", words, "model")
    return names or None


def _flag(asked: Mapping[str, Any], name: str) -> bool:
    value = asked.get(name)
    if value not in (None, True, False):
        raise ApiError(400, "invalid_field", f"{name}: it must be true or false", name)
    return bool(value)


def _usage_wanted(asked: Mapping[str, Any]) -> bool:
    options = asked.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, Mapping):
        words = "stream_options: it must be an object"
        raise ApiError(400, "invalid_field", words, "stream_options")
    return _flag(options, "include_usage")


def _tenant(headers: Mapping[str, str], caller: Caller) -> str | None:
    given = headers.get("x-sluice-tenant")
    if given is not None:  # headers come as Latin-1, whatever was sent
        with suppress(UnicodeError):
            given = given.encode("latin-1").decode()
    if caller.tenant is not None and given not in (None, caller.tenant):
        words = "X-Sluice-Tenant: the key belongs to another tenant"
        raise ApiError(403, "wrong_tenant", words, "X-Sluice-Tenant")
    return caller.tenant if caller.tenant is not None else given


def _max_cost(given: str | None) -> int | None:
    if given is None:
        return None
    try:
        nano = Decimal(given.strip()) * NANO
        if not (nano.is_finite() and 0 <= nano <= 2**63 - 1):
            raise InvalidOperation
        return int(nano)
    except DecimalException:  # also one that is too large to be multiplied
        words = "X-Sluice-Max-Cost: it must be an amount in units of currency, such as 0.01"
        raise ApiError(400, "invalid_field", words, "X-Sluice-Max-Cost") from None


def _floor(given: str | None) -> float | None:
    if given is None:
        return None
    with suppress(ValueError):
        if 0 <= (floor := float(given)) <= 1:
            return floor
    words = "X-Sluice-Floor: it must be a mean score from 0 to 1, such as 0.8"
    raise ApiError(400, "invalid_field", words, "X-Sluice-Floor")


def _deadline(headers: Mapping[str, str], default: float) -> float:
    given = headers.get("x-sluice-deadline")
    if given is None:
        return default
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= LONGEST_DEADLINE:
        words = "X-Sluice-Deadline: it must be seconds from now, such as 30"
        raise ApiError(400, "invalid_field", words, "X-Sluice-Deadline")
    return seconds


def _id(key: str | None, caller: Caller, body: bytes) -> str | None:
    """Return the id of a request that may be repeated: the same for the same key and body."""
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST_KEY:
        words = f"Idempotency-Key: it must have 1 to {LONGEST_KEY} characters"
        raise ApiError(400, "invalid_field", words, "Idempotency-Key")
    whose = sha256(repr((caller.name, caller.tenant, key)).encode()).hexdigest()[:32]
    return f"{IDEMPOTENT}{whose}-{sha256(body).hexdigest()[:16]}"


def _choices(answer: Answer) -> Sequence[Mapping[str, Any]]:
    """The choices of an answer; of one in another form than OpenAI's, its words and calls."""
    response = answer.response
    given = response.get("choices") if isinstance(response, Mapping) else None
    listed = given if isinstance(given, list) else []
    found = [each for each in listed if isinstance(each, Mapping)]
    choices = [{**each, "message": _message(each)} for each in found] or [
        {"index": i, "message": _said(each)} for i, each in enumerate(answer_choices(response))
    ]
    return [
        {**each, "finish_reason": each.get("finish_reason") or _ended(answer, each["message"])}
        for each in choices
    ]


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """A choice's message; for one in another form, its words and calls."""
    message = choice.get("message")
    return message if isinstance(message, Mapping) else _said(choice)


def _said(choice: object) -> dict[str, Any]:
    words, calls = choice_text(choice), choice_calls(choice)
    if not calls:
        return {"role": "assistant", "content": words}
    return {"role": "assistant", "content": words or None, "tool_calls": calls}


def _ended(answer: Answer, message: Mapping[str, Any]) -> str:
    if answer.result.cut:
        return "length"
    calls = message.get("tool_calls")
    called = isinstance(calls, list) and any(isinstance(each, Mapping) for each in calls)
    return "tool_calls" if called else "stop"


def _usage(answer: Answer) -> dict[str, int]:
    used = answer.result.usage
    if used is None and isinstance(answer.response, Mapping):
        with suppress(Invalid):
            used = reported_usage(answer.response)
    prompt, said = (used.prompt_tokens, used.completion_tokens) if used else (0, 0)
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def _printable(value: str) -> str:
    """A header's value holds ASCII only."""
    return value.encode("ascii", "backslashreplace").decode()
