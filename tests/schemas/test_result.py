"""Rules of results."""

from __future__ import annotations

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
