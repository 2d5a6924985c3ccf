"""Bytes in, messages or `Invalid` out: for every message, and for whatever the bytes are."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import (
    BudgetControl,
    Invalid,
    Message,
    ModelControl,
    Prices,
    Query,
    decode,
    decode_control,
    encode,
)
from schemas.invalid import Code
from schemas.wire import FORMAT, MAX_DEPTH, NewerFormat, Versioned
from tests.schemas.refusals import GOOD, refusal, with_field
from tests.schemas.strategies import BY_KIND, anything, json_values

KINDS = list(BY_KIND)


def read_or_refused(kind: type[Message], data: bytes) -> None:
    """Fails on any exception but Invalid, and on an Invalid that says nothing; a record that only
    Sluice writes may be of a newer format."""
    try:
        message = decode(kind, data)
    except NewerFormat:
        assert issubclass(kind, Versioned)
        return
    except Invalid as error:
        refused = error
    else:
        assert decode(kind, encode(message)) == message
        return
    assert refused.code in get_args(Code)
    assert len(refused.reason) > 10


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_round_trip(kind: type[Message], data: st.DataObject) -> None:
    """What is encoded is decoded to an equal message."""
    message = data.draw(BY_KIND[kind])
    assert decode(kind, encode(message)) == message


@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Arbitrary bytes give a message or Invalid, never another exception."""
    read_or_refused(Query, data)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_json(kind: type[Message], data: st.DataObject) -> None:
    """A good message with a field replaced, added or removed is read or refused."""
    fields: dict[str, Any] = json.loads(encode(data.draw(BY_KIND[kind])))
    name = data.draw(st.sampled_from(kind.__struct_fields__) | anything)
    if data.draw(st.booleans()):
        fields[name] = data.draw(json_values)
    else:
        fields.pop(name, None)
    read_or_refused(kind, json.dumps(fields).encode())


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_damaged_bytes(kind: type[Message], data: st.DataObject) -> None:
    """A good message with bytes cut out or put in is read or refused."""
    encoded = encode(data.draw(BY_KIND[kind]))
    start = data.draw(st.integers(0, len(encoded)))
    end = data.draw(st.integers(start, min(start + 4, len(encoded))))
    read_or_refused(kind, encoded[:start] + data.draw(st.binary(max_size=4)) + encoded[end:])


def test_nesting_is_bounded_at_the_same_depth_everywhere() -> None:
    """The deepest message that is read has MAX_DEPTH levels, however few bytes it takes."""

    def nested(levels: int) -> bytes:
        return with_field(b'"x":' + b"[" * (levels - 1) + b"]" * (levels - 1))

    assert decode(Query, nested(MAX_DEPTH)).id == "q1"
    assert "nested" in refusal(nested(MAX_DEPTH + 1)).reason


def test_many_brackets_are_not_depth() -> None:
    """Long conversations, and brackets in texts, are no nesting."""
    turns = [{"role": "user", "content": "[[[{{{"}] * 100
    query = decode(Query, json.dumps({"id": "a", "payload": {"messages": turns}}).encode())
    assert len(query.text().split("\n")) == 100


def test_a_field_name_below_the_top_is_not_given_twice() -> None:
    """Only the message's own fields count: payloads and texts may hold the same names."""
    payload = {"max_tokens": 7, "messages": [{"role": "user", "content": 'the "id": is'}]}
    body = {"id": "a", "max_tokens": 5, "payload": payload, "metadata": {"id": 1}}
    assert decode(Query, json.dumps(body).encode()).output_tokens == 5


def test_unknown_fields_are_ignored() -> None:
    """A newer writer does not stop an older reader."""
    assert decode(Query, with_field(b'"colour":"blue"')) == decode(Query, GOOD)


def test_encode_refuses_what_json_cannot_hold() -> None:
    """NaN does not become null in silence: the error names where it stands."""
    prices = Prices(policy="p", version=1, state={"gamma": [0.0, float("nan")]}, solved_at=1.0)
    with pytest.raises(ValueError, match=r"state\.gamma\[1\]: found nan"):
        encode(prices)


def test_defaults_stay_off_the_wire() -> None:
    """Only what was said is written."""
    assert encode(Query(id="q1", prompt="hi")) == b'{"id":"q1","prompt":"hi"}'


@given(message=BY_KIND[ModelControl] | BY_KIND[BudgetControl])
def test_control_is_read_by_its_kind(message: ModelControl | BudgetControl) -> None:
    """One topic carries both kinds of control message."""
    assert decode_control(encode(message)) == message


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{}", "kind: found nothing, it is required"),
        (b'{"kind":"modle"}', "kind: found a string, it must be one of: model, budget, floor"),
        (b'{"kind":5}', "kind: found a value of another type, it must be a string"),
        (
            b'{"kind":"model","name":"m","action":"add","output_price":1}',
            "input_price: found nothing, a model that is added must have prices and a limit",
        ),
    ],
)
def test_control_refusals(data: bytes, reason: str) -> None:
    """A wrong control message says which kinds and fields there are."""
    with pytest.raises(Invalid) as caught:
        decode_control(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, Versioned)])
@given(data=st.data())
def test_a_newer_format_is_refused(kind: type[Versioned], data: st.DataObject) -> None:
    """By its number, and with what to do; the present one is left out."""
    encoded = encode(data.draw(BY_KIND[kind]))
    newer = encoded[:-1] + f',"format":{FORMAT + 1}}}'.encode()
    with pytest.raises(NewerFormat, match=f"format: found {FORMAT + 1} in a .* upgrade this"):
        decode(kind, newer)
