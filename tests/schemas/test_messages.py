"""Rules of the other messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import (
    BudgetControl,
    Control,
    Invalid,
    Message,
    ModelControl,
    Receipt,
    Rejected,
    Result,
    Routed,
    ShareReport,
    Source,
    decode,
    encode,
    read_id,
)
from schemas.control import control_key

SOURCE = Source("queries", 0, 7)
RESULT = {"id": "q", "decision_id": "d", "model": "m", "status_code": 200}
REPORT = {"partition": 0, "sequence": 1, "arrivals": 2, "models": {}}
ROUTED = {
    "id": "q",
    "decision_id": "d",
    "model": "m",
    "max_tokens": 5,
    "reserved": 9,
    "policy": "p",
    "source": {"topic": "queries", "partition": 0, "offset": 7},
}


@pytest.mark.parametrize(
    ("kind", "fields", "field", "words"),
    [
        (Result, {**RESULT, "status_code": 99}, "status_code", "at least 100"),
        (Result, {**RESULT, "status_code": "200"}, "status_code", "found a string"),
        (Result, {**RESULT, "cost": -1}, "cost", "at least 0"),
        (Result, {**RESULT, "cost": 0.5}, "cost", "found a number, it must be an integer"),
        (Result, {**RESULT, "score": 1.5}, "score", "at most 1"),
        (Result, {**RESULT, "usage": {"prompt_tokens": 1}}, "usage.completion_tokens", "required"),
        (
            Result,
            {**RESULT, "usage": {"prompt_tokens": -1, "completion_tokens": 1}},
            "usage.prompt_tokens",
            "at least 0",
        ),
        (Result, {**RESULT, "error": {"code": "x"}}, "error.message", "required"),
        (Result, {**RESULT, "attempts": 0}, "attempts", "at least 1"),
        (Routed, ROUTED, "prompt", "one of payload and prompt"),
        (Routed, {**ROUTED, "prompt": "a", "reserved": -1}, "reserved", "at least 0"),
        (Routed, {**ROUTED, "prompt": "a", "source": {}}, "source.topic", "required"),
        (
            ShareReport,
            {**REPORT, "columns": ["a"], "quality": [[1, 2]], "cost": [[1]]},
            "quality",
            "each row must hold 1 numbers",
        ),
        (
            ShareReport,
            {**REPORT, "columns": ["a"], "quality": [[1]], "cost": []},
            "cost",
            "it must have 1 rows",
        ),
    ],
)
def test_refusals(kind: type[Message], fields: dict[str, Any], field: str, words: str) -> None:
    """The reason names the field's path, the type found there, and the rule."""
    with pytest.raises(Invalid) as caught:
        decode(kind, json.dumps(fields).encode())
    assert caught.value.field == field
    assert words in caught.value.reason


@given(original=st.binary(max_size=300))
def test_rejected_keeps_the_original_bytes(original: bytes) -> None:
    """Whatever was refused can be had again, byte for byte, from the message."""
    error = Invalid("invalid_field", "a: found nothing, it is required", "a")
    message = decode(Rejected, encode(Rejected.of(error, original, SOURCE)))
    assert message.original() == original
    assert (message.code, message.reason, message.field) == (error.code, error.reason, error.field)
    assert message.source == SOURCE


def test_a_tombstone_can_be_rejected() -> None:
    """A record without a value has no bytes to keep."""
    error = Invalid("empty", "the message is empty")
    assert Rejected.of(error, None, SOURCE).original() == b""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"id":"q1","prompt":5}', "q1"),
        (b'{"id":5}', None),
        (b'{"id":"a\\n"}', None),
        (b"{}", None),
        (b"nope", None),
        (None, None),
    ],
)
def test_read_id(data: bytes | None, expected: str | None) -> None:
    """The id is told wherever it can be read, so that a rejection can be traced."""
    assert read_id(data) == expected


def test_prices_that_overflow_are_refused() -> None:
    """The longest answer's cost must be countable in 64 bits, with any price and length."""
    with pytest.raises(Invalid, match="output_price: found an integer, with context"):
        ModelControl(
            name="m",
            action="add",
            input_price=0,
            output_price=10**12,
            limit=1,
            max_output_tokens=10**7,
        )


@pytest.mark.parametrize("zone", ["", "Atlantis", "../etc", "Europe"])
def test_a_model_is_added_in_a_known_time_zone(zone: str) -> None:
    """Routers must not meet a window that no calendar knows."""
    with pytest.raises(Invalid, match="time_zone: found a string, it must be an IANA name"):
        ModelControl(name="m", action="add", input_price=1, output_price=1, limit=1, time_zone=zone)


def test_control_keys_keep_apart_what_must_outlive_compaction() -> None:
    """Pausing a model does not compact away what it is, nor a tenant's limit the model's."""
    add = ModelControl(name="m", action="add", input_price=1, output_price=1, limit=1)
    orders: list[Control] = [
        add,
        ModelControl(name="m", action="pause"),
        BudgetControl(model="m", limit=1),
        BudgetControl(model="m", limit=1, tenant="shop"),
    ]
    assert len({control_key(order) for order in orders}) == len(orders)
    assert control_key(orders[1]) == control_key(ModelControl(name="m", action="remove"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_receipt_names_the_quality_that_is_no_number(bad: float) -> None:
    """An estimate that went wrong stops where it is made, not on the wire; others may be any."""
    known: dict[str, Any] = {"id": "q", "decision_id": "d", "decision": "deferred", "reason": ""}
    known |= {"policy": "p", "source": SOURCE, "decided_at": 1.0}
    assert Receipt(**known, quality={"a": -0.1, "b": 1.5}).quality == {"a": -0.1, "b": 1.5}
    with pytest.raises(Invalid, match=r"quality\.b: .*finite") as caught:
        Receipt(**known, quality={"a": 0.5, "b": bad})
    assert caught.value.field == "quality.b"
