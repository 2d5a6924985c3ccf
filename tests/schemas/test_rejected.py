"""Rejections keep what was refused, and whose it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import (
    Invalid,
    Rejected,
    Source,
    decode,
    encode,
    read_id,
)

SOURCE = Source("queries", 0, 7)


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
