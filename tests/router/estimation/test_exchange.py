"""One folder in the place of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.estimation.index import exchange


@pytest.mark.parametrize("able", [True, False], ids=["at-once", "by-renames"])
def test_folders_are_exchanged(tmp_path: Path, able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft is in place, and the old folder is whole elsewhere."""
    if not able:
        monkeypatch.setattr(exchange, "_swap", lambda one, other: False)
    draft, folder = tmp_path / "draft", tmp_path / "index"
    for path in (draft, folder):
        path.mkdir()
        (path / "name").write_text(path.name)
    aside = exchange.exchanged(draft, folder)
    assert (folder / "name").read_text() == "draft"
    assert (aside / "name").read_text() == "index"


@pytest.mark.parametrize("able", [True, False], ids=["at-once", "by-renames"])
def test_a_draft_that_is_not_there_leaves_the_folder(
    tmp_path: Path, able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in place stays there, or comes back."""
    if not able:
        monkeypatch.setattr(exchange, "_swap", lambda one, other: False)
    (tmp_path / "index").mkdir()
    with pytest.raises(OSError, match="draft"):
        exchange.exchanged(tmp_path / "draft", tmp_path / "index")
    assert (tmp_path / "index").is_dir()
