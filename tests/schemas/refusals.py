"""What every message answers to a field that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas import (
    Invalid,
    Message,
    decode,
)


def check_refusal(kind: type[Message], fields: dict[str, Any], field: str, words: str) -> None:
    """Decoding fails, naming the field's path, what was found there, and the rule."""
    with pytest.raises(Invalid) as caught:
        decode(kind, json.dumps(fields).encode())
    assert caught.value.field == field
    assert words in caught.value.reason
