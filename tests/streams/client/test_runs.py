"""Runs that are begun again, and files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from schemas.invalid import Invalid
from streams.client.runs import cut_after_whole_lines, replacing, run_at


def test_a_run_is_the_same_when_begun_again(tmp_path: Path) -> None:
    """Its name stands in its file; another file is another run."""
    run = run_at(tmp_path / "a.json", "judge")
    assert run_at(tmp_path / "a.json", "judge") == run
    assert run_at(tmp_path / "b.json", "judge").id != run.id


def test_a_draft_that_fails_replaces_nothing(tmp_path: Path) -> None:
    """The file stays as it was, and no draft is left."""
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), replacing(path) as draft:
        draft.write_text(str(1 / 0))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_has_spoiled_is_cut_off(tmp_path: Path) -> None:
    """Half a line goes, and so does what follows a line that is not to stay."""
    path = tmp_path / "lines.jsonl"
    for written, kept in ((b"1\n2\n3", b"1\n2\n"), (b"1\nno\n2\n", b"1\n"), (b"", b"")):
        path.write_bytes(written)
        with path.open("ab+") as file:
            cut_after_whole_lines(file, lambda line: line != b"no\n")
            file.write(b"next\n")
        assert path.read_bytes() == kept + b"next\n"


def test_what_no_run_wrote_is_named(tmp_path: Path) -> None:
    """Nothing is cut off that might have been paid for."""
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(Invalid, match=r"run\.json: it names no run"):
        run_at(tmp_path / "run.json", "judge")
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes(b"1\nx\n2\n")
    with lines.open("ab+") as file, pytest.raises(Invalid, match=r"lines\.jsonl, line 2: no line"):
        cut_after_whole_lines(file, lambda line: msgspec.json.decode(line) > 0)
    assert lines.read_bytes() == b"1\nx\n2\n"
