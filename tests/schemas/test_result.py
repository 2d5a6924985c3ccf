"""Rules of results."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import (
    Result,
)
from tests.schemas.refusals import check_refusal

RESULT = {"id": "q", "decision_id": "d", "model": "m", "status_code": 200}


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
