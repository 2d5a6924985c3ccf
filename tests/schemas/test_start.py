"""What a worker says before a call."""

from __future__ import annotations

import pytest

from schemas import Invalid, Start, decode, encode


def test_a_start_is_read_as_it_was_written() -> None:
    """It names its decision; a message without one is none."""
    start = Start(id="a", decision_id="queries/0/1", model="m")
    assert decode(Start, encode(start)) == start
    with pytest.raises(Invalid, match="decision_id"):
        decode(Start, b'{"id": "a", "model": "m"}')
