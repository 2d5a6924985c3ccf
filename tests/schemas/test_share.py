"""Rules of share reports."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import (
    ShareReport,
)
from tests.schemas.refusals import check_refusal

REPORT = {"partition": 0, "sequence": 1, "arrivals": 2, "models": {}}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        (
            {**REPORT, "columns": ["a"], "quality": [[1, 2]], "cost": [[1]]},
            "quality",
            "each row must hold 1 numbers",
        ),
        ({**REPORT, "columns": ["a"], "quality": [[1]], "cost": []}, "cost", "it must have 1 rows"),
    ],
)
def test_refusals(fields: dict[str, Any], field: str, words: str) -> None:
    """The reason names the field's path, the type found there, and the rule."""
    check_refusal(ShareReport, fields, field, words)
