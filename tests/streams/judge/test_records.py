"""Verdicts in a file, and runs that go on."""

from __future__ import annotations

from pathlib import Path

from streams.judge.records import Verdict, VerdictFile


def test_verdicts_after_a_kill(tmp_path: Path) -> None:
    """Half a line is cut off; failed calls count as money, and are judged again."""
    path = tmp_path / "verdicts.jsonl"
    with VerdictFile(path) as file:
        file.add(Verdict("a", 0.5, 10))
        file.add(Verdict("b", None, 5))
        file.add(Verdict("c", None, 3, failed=True))
    path.write_bytes(path.read_bytes() + b'{"id": "d", "sco')
    with VerdictFile(path) as file:
        assert file.found == {"a": Verdict("a", 0.5, 10), "b": Verdict("b", None, 5)}
        assert (file.spent, file.unknown) == (18, 1)
        file.add(Verdict("d", 1.0, 1))
    with VerdictFile(path) as file:
        assert file.found["d"].score == 1.0
