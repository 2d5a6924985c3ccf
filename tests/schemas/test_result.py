"""Rules of results."""

from __future__ import annotations

import codecs
from typing import Any

import msgspec
import pytest
from hypothesis import given

from schemas import Invalid, Result, Usage, encode
from schemas.result import (
    TOO_LONG,
    Failure,
    duplicate_of,
    first_decision,
    goes_to_another_model,
    read_result,
    read_settlement,
)
from tests.schemas.refusals import check_refusal
from tests.schemas.strategies import results

RESULT: dict[str, Any] = {"id": "q", "decision_id": "d", "model": "m", "status_code": 200}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({**RESULT, "status_code": 99}, "status_code", "at least 100"),
        ({**RESULT, "status_code": "200"}, "status_code", "found a string"),
        ({**RESULT, "cost": -1}, "cost", "at least 0"),
        ({**RESULT, "cost": 0.5}, "cost", "found a number, it must be an integer"),
        ({**RESULT, "score": 1.5}, "score", "at most 1"),
        ({**RESULT, "usage": {"prompt_tokens": 1}}, "usage.completion_tokens", "required"),
        (
            {**RESULT, "usage": {"prompt_tokens": -1, "completion_tokens": 1}},
            "usage.prompt_tokens",
            "at least 0",
        ),
        ({**RESULT, "error": {"code": "x"}}, "error.message", "required"),
        ({**RESULT, "attempts": 0}, "attempts", "at least 1"),
    ],
)
def test_refusals(fields: dict[str, Any], field: str, words: str) -> None:
    """The reason names the field's path, the type found there, and the rule."""
    check_refusal(Result, fields, field, words)


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(prompt_tokens=3, completion_tokens=4)),
        ({"input_tokens": 3.0, "output_tokens": "4"}, Usage(prompt_tokens=3, completion_tokens=4)),
        ({"prompt_tokens": 3, "completion_tokens": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_usage_of_any_form(usage: object, read: Usage | None) -> None:
    """Workers of other makers may pass on what their server reported."""
    assert read_result(encode({**RESULT, "usage": usage})) == Result(**RESULT, usage=read)


@pytest.mark.parametrize("usage", [5, [], {"prompt_tokens": -1, "completion_tokens": 1}])
def test_usage_that_is_none(usage: object) -> None:
    """The result is refused by the field."""
    with pytest.raises(Invalid, match=r"^usage"):
        read_result(encode({**RESULT, "usage": usage}))


_DEEP = b"[" * 90 + b"]" * 90


@pytest.mark.parametrize(
    ("response", "read"),
    [
        (b"[NaN, -Infinity, 0.5]", [None, None, 0.5]),
        (rb'"ok \ud83d"', "ok \ufffd"),
        (b'"ok \xff"', "ok \ufffd"),
        (b'"a\nb"', "a\nb"),
    ],
)
def test_what_writers_of_json_let_pass(response: bytes, read: object) -> None:
    """Python's own, for one: an answer is not thrown away for it."""
    data = encode(RESULT)[:-1] + b',"cost":7,"response":' + response + b"}"
    for whole in (data, codecs.BOM_UTF8 + data):
        assert read_result(whole) == Result(**RESULT, cost=7, response=read)


def test_an_answer_nested_without_end() -> None:
    """It is cut where a message ends."""
    found = read_result(encode(RESULT)[:-1] + b',"response":' + _DEEP + b"}")
    assert found.status_code == 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encode(RESULT)[:-1] + b',"cost":NaN,"score":9}', "score"),
        (encode(RESULT)[:-1] + b',"response":"' + b"\xff" * 2**20 + b'"}', "bytes"),
        (encode(RESULT)[:-1] + b',"cost":1,"cost":2}', "cost: given twice"),
    ],
)
def test_what_is_refused_all_the_same_names_its_reservation(data: bytes, words: str) -> None:
    """So that it is charged."""
    result, refusal = read_settlement(data)
    assert (result.id, result.decision_id, result.model) == ("q", "d", "m")
    assert refusal is not None
    assert words in refusal.reason
    assert result.estimated


@pytest.mark.parametrize(
    "data",
    [
        encode(RESULT)[:-1],
        b"[" + encode(RESULT) + b"]",
        b"NaN",
        encode(RESULT)[:-1] + b',"id":"p"}',
    ],
)
def test_what_is_no_object_names_none(data: bytes) -> None:
    """Nothing can be settled by it."""
    with pytest.raises(Invalid):
        read_settlement(data)


@given(results)
def test_results_are_read_as_they_were_written(result: Result) -> None:
    """The reader of usage takes what our own workers send; it may add what is counted apart."""
    read = read_result(encode(result))
    assert msgspec.structs.replace(read, usage=result.usage) == result
    if result.usage is not None:
        assert read.usage is not None


def test_what_is_too_long_for_one_model_goes_to_another() -> None:
    """Its context may be longer; any other refusal stands."""
    for code, goes in ((TOO_LONG, True), ("INVALID_REQUEST", False)):
        error = {"code": code, "message": "no"}
        refused = read_result(encode({**RESULT, "status_code": 400, "error": error}))
        assert goes_to_another_model(refused, 0, 1) is goes
        assert not goes_to_another_model(refused, 1, 1)


def test_what_is_told_of_an_id_that_is_sent_again() -> None:
    """It names the decision on the first query; other results name none."""
    told: dict[str, Any] = {
        "id": "q",
        "decision_id": "queries/0/9",
        "model": "none",
        "status_code": 409,
    }
    assert first_decision(Result(**told, error=duplicate_of("queries/0/7"))) == "queries/0/7"
    assert first_decision(Result(**told)) is None
    assert first_decision(Result(**told, error=Failure(code="X", message="no"))) is None
