"""Bad messages of many kinds, each with what the rejection must say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from schemas import Routed
from schemas.wire import MAX_BYTES
from tests.support.answers import bad_answer


class Bad(NamedTuple):
    """A kind of bad message. make: from its number; code, field: of the rejection; says: words
    that the reason holds."""

    make: Callable[[int], bytes | None]
    code: str
    field: str | None
    says: str


def _query(**changes: Any) -> Callable[[int], bytes]:
    """A good query with fields changed; None removes one."""

    def make(number: int) -> bytes:
        fields = {"id": f"bad-{number}", "prompt": "What is wrong with me?", **changes}
        return orjson.dumps({name: value for name, value in fields.items() if value is not None})

    return make


def _chat(*messages: Any) -> Callable[[int], bytes]:
    return _query(prompt=None, payload={"messages": list(messages)})


QUERIES: dict[str, Bad] = {
    "no bytes": Bad(lambda _: b"", "empty", None, "empty"),
    "no value": Bad(lambda _: None, "empty", None, "empty"),
    "not JSON": Bad(
        lambda n: b'{"id": "bad-%d", "prompt": nothing}' % n, "invalid_json", None, "not JSON"
    ),
    "breaks off": Bad(
        lambda n: b'{"id": "bad-%d", "prompt": "to b' % n, "invalid_json", None, "breaks off"
    ),
    "not UTF-8": Bad(
        lambda n: b'{"id": "bad-%d", "prompt": "\xff\xfe"}' % n, "invalid_json", None, "UTF-8"
    ),
    "not a number": Bad(
        lambda n: b'{"id": "bad-%d", "prompt": "x", "deadline": NaN}' % n,
        "invalid_json",
        None,
        "not JSON",
    ),
    "nested without end": Bad(lambda n: b"[" * (1000 + n), "invalid_json", None, "array"),
    "an array": Bad(lambda _: b"[1, 2, 3]", "invalid_json", None, "object"),
    "a field twice": Bad(
        lambda n: b'{"id": "a", "id": "bad-%d", "prompt": "x"}' % n, "invalid_json", "id", "twice"
    ),
    "no id": Bad(_query(id=None), "missing_field", "id", "required"),
    "an id that is a number": Bad(_query(id=7), "invalid_field", "id", "string"),
    "an id with a line break": Bad(_query(id="a\nb"), "invalid_field", "id", "control"),
    "an endless id": Bad(_query(id="x" * 257), "invalid_field", "id", "256"),
    "no text": Bad(_query(prompt=None), "missing_field", "prompt", "one of payload and prompt"),
    "two texts": Bad(
        _query(payload={"messages": [{"role": "user", "content": "hi"}]}),
        "invalid_field",
        "prompt",
        "left out",
    ),
    "a prompt that is a list": Bad(_query(prompt=["a"]), "invalid_field", "prompt", "array"),
    "no messages": Bad(_chat(), "invalid_field", "payload.messages", "at least one"),
    "a message without a role": Bad(
        _chat({"content": "hi"}), "missing_field", "payload.messages[0].role", "required"
    ),
    "content that is a number": Bad(
        _chat({"role": "user", "content": 5}),
        "invalid_field",
        "payload.messages[0].content",
        "an integer",
    ),
    "no tokens": Bad(_query(max_tokens=0), "invalid_field", "max_tokens", "1"),
    "tokens in words": Bad(_query(max_tokens="many"), "invalid_field", "max_tokens", "string"),
    "a negative amount": Bad(_query(max_cost=-1), "invalid_field", "max_cost", "0"),
    "an amount that is a fraction": Bad(
        _query(max_cost=0.5), "invalid_field", "max_cost", "number"
    ),
    "a model nobody knows": Bad(
        _query(allowed_models=["gpt-99"]), "unknown_model", "allowed_models", "gpt-99"
    ),
    "no models at all": Bad(_query(allowed_models=[]), "invalid_field", "allowed_models", "1"),
    "an amount no model can serve for": Bad(
        _query(max_cost=0), "no_model_allowed", None, "max_cost"
    ),
    "a deadline that has passed": Bad(
        _query(deadline=1_000_000_000.0), "deadline_exceeded", "deadline", "passed"
    ),
    "a deadline in milliseconds": Bad(
        _query(deadline=1.7e12), "invalid_field", "deadline", "number"
    ),
    "an embedding of another dimension": Bad(
        _query(embedding=[0.5, 0.5]), "invalid_embedding", "embedding", "256"
    ),
    "an embedding without length": Bad(
        _query(embedding=[0.0, 0.0]), "invalid_embedding", "embedding", "0"
    ),
}

TOO_LARGE = Bad(_query(prompt="x" * MAX_BYTES), "too_large", None, "bytes")
"""Apart, as a thousand of them would be a gigabyte."""


class BadResult(NamedTuple):
    """As `Bad`; made from a routed message that it pretends to answer. open: the rejection says so
    only while that one's reservation is open."""

    make: Callable[[Routed], bytes | None]
    code: str
    field: str | None
    says: str
    open: bool = False


def _answer(**changes: object) -> Callable[[Routed], bytes]:
    return lambda routed: bad_answer(routed, **changes)


def _without(name: str) -> Callable[[Routed], bytes]:
    def make(routed: Routed) -> bytes:
        fields = orjson.loads(bad_answer(routed))
        del fields[name]
        return orjson.dumps(fields)

    return make


def _elsewhere(routed: Routed) -> bytes:
    topic, partition, _ = routed.decision_id.rsplit("/", 2)
    return bad_answer(routed, decision_id=f"{topic}/{partition}/999999999")


RESULTS: dict[str, BadResult] = {
    "no bytes": BadResult(lambda _: b"", "empty", None, "empty"),
    "no value": BadResult(lambda _: None, "empty", None, "empty"),
    "not JSON": BadResult(lambda _: b"200 OK", "invalid_json", None, "object"),
    "a string": BadResult(lambda _: b'"done"', "invalid_json", None, "object"),
    "no id": BadResult(_without("id"), "missing_field", "id", "required"),
    "no decision": BadResult(_without("decision_id"), "missing_field", "decision_id", "required"),
    "a decision in words": BadResult(
        _answer(decision_id="the last one"), "not_in_flight", "decision_id", "router"
    ),
    "a decision of the future": BadResult(
        _elsewhere, "not_in_flight", "decision_id", "no reservation"
    ),
    "a decision of no topic of ours": BadResult(
        _answer(decision_id="other/0/0"), "not_in_flight", "decision_id", "router"
    ),
    "an offset without end": BadResult(
        lambda r: bad_answer(r, decision_id=r.decision_id + "0" * 100),
        "not_in_flight",
        "decision_id",
        "router",
    ),
    "another query": BadResult(
        _answer(id="somebody else"), "not_in_flight", "id", "reservation", True
    ),
    "another model": BadResult(
        _answer(model="gpt-99"), "not_in_flight", "model", "reservation", True
    ),
    "no status": BadResult(_without("status_code"), "missing_field", "status_code", "required"),
    "a status out of range": BadResult(
        _answer(status_code=99), "invalid_field", "status_code", "100"
    ),
    "a status in words": BadResult(
        _answer(status_code="OK"), "invalid_field", "status_code", "string"
    ),
    "a negative cost": BadResult(_answer(cost=-1), "invalid_field", "cost", "0"),
    "a cost in dollars": BadResult(_answer(cost=0.25), "invalid_field", "cost", "number"),
    "an absurd cost": BadResult(_answer(cost=10**17), "invalid_field", "cost", "at most", True),
    "a cost beyond 64 bits": BadResult(
        _answer(cost=2**64 - 1), "invalid_field", "cost", "at most", True
    ),
    "absurd usage": BadResult(
        _answer(cost=None, usage={"prompt_tokens": 1, "completion_tokens": 2**63 - 1}),
        "invalid_field",
        "usage",
        "at most",
        True,
    ),
    "negative usage": BadResult(
        _answer(usage={"prompt_tokens": -1, "completion_tokens": 1}),
        "invalid_field",
        "usage.prompt_tokens",
        "0",
    ),
    "a score above one": BadResult(_answer(score=2), "invalid_field", "score", "1"),
    "no attempt": BadResult(_answer(attempts=0), "invalid_field", "attempts", "1"),
}
