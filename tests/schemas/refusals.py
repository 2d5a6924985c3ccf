"""What every message answers to a field that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas import Invalid, Message, Query, decode

GOOD = b'{"id":"q1","prompt":"Why is the sky blue?"}'


def with_field(text: bytes) -> bytes:
    """A good query with one more field, given as JSON."""
    return GOOD[:-1] + b"," + text + b"}"


def refusal(data: bytes | None, kind: type[Message] = Query) -> Invalid:
    """Why bytes are no message of a kind."""
    with pytest.raises(Invalid) as caught:
        decode(kind, data)
    return caught.value


def check_refusal(kind: type[Message], fields: dict[str, Any], field: str, words: str) -> None:
    """Decoding fails, naming the field's path, what was found there, and the rule."""
    error = refusal(json.dumps(fields).encode(), kind)
    assert error.field == field
    assert words in error.reason
