"""Rules of routed queries."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import (
    Routed,
)
from tests.schemas.refusals import check_refusal

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
    ("fields", "field", "words"),
    [
        (ROUTED, "prompt", "one of payload and prompt"),
        ({**ROUTED, "prompt": "a", "reserved": -1}, "reserved", "at least 0"),
        ({**ROUTED, "prompt": "a", "source": {}}, "source.topic", "required"),
    ],
)
def test_refusals(fields: dict[str, Any], field: str, words: str) -> None:
    """The reason names the field's path, the type found there, and the rule."""
    check_refusal(Routed, fields, field, words)
