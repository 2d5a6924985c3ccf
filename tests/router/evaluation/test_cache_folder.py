"""Where Sluice keeps what it can make or fetch again."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.evaluation.cache_folder import cache_folder


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SLUICE_CACHE before XDG_CACHE_HOME before the home folder; an empty one is not set."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("SLUICE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("SLUICE_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "sluice"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == tmp_path / "home" / ".cache" / "sluice"
