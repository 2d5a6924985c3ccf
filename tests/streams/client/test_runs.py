"""Runs that are begun again, and files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.client.runs import replacing, run_at


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
