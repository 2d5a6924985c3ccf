"""Queries from a file: which lines are one, and when each leaves."""

from __future__ import annotations

import pytest

from schemas.invalid import Invalid
from streams.client.produce import Line, Sender, check, paced


@pytest.mark.parametrize("line", [b"[]", b'{"prompt": "x"}', b'{"id": "a", "prompt": ""}'])
def test_what_is_no_query(line: bytes) -> None:
    """A line without id or text is refused before it is sent."""
    with pytest.raises(Invalid):
        check(1, line)


def test_the_rate_is_kept() -> None:
    """By the clock, the n-th query (from 0) leaves n / rate seconds after the first."""
    now, left = 0.0, []

    class Clocked(Sender):
        def __init__(self) -> None:
            pass

        def wait(self, seconds: float) -> None:
            nonlocal now
            now += seconds

        def send(self, line: Line) -> None:
            left.append(now)

    lines = [Line(number, b"", b"") for number in range(5)]
    assert list(paced(lines, 4.0, Clocked(), lambda: now)) == lines
    assert left == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])


def test_a_request_of_a_batch_file_without_a_body() -> None:
    """It is told what it lacks, not what a query has."""
    with pytest.raises(Invalid, match="body: found nothing, it is required"):
        check(1, b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}')
