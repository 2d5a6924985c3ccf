"""Outcomes as a history. (With a broker: tests/streams/cli/test_bootstrap.py.)"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streams.learn.bootstrap import Outcome, Prompt, history, read_outcomes

OUTCOMES = [Outcome("a", "small", 1.0, 500), Outcome("a", "large", 0.5, 2_000_000_000)]


def test_history() -> None:
    """A line has the outcomes of all models; a prompt without any has no line."""
    prompts = [Prompt("a", "x", prompt="why?"), Prompt("b", "y", prompt="how?")]
    assert list(history(prompts, OUTCOMES)) == [
        {
            "id": "a",
            "prompt": "why?",
            "scores": {"small": 1.0, "large": 0.5},
            "cost_usd": {"small": 5e-7, "large": 2.0},
        }
    ]


def test_outcomes_after_a_kill(tmp_path: Path) -> None:
    """Half a line at the end is cut off, and what follows is a line of its own."""
    file = tmp_path / "outcomes.jsonl"
    assert read_outcomes(file) == []
    lines = [msgspec.json.encode(outcome) + b"\n" for outcome in OUTCOMES]
    file.write_bytes(b"".join(lines) + lines[0][:9])
    assert read_outcomes(file) == OUTCOMES
    assert file.read_bytes() == b"".join(lines)


def test_an_unknown_scoring() -> None:
    """A way to score that there is not is refused, with those that there are."""
    with pytest.raises(msgspec.ValidationError, match="numeric"):
        msgspec.json.decode(b'{"id": "a", "scoring": "taste"}', type=Prompt)
