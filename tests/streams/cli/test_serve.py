"""`sluice serve`: what it refuses. (What it answers: tests/streams/serve, tests/e2e.)"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.cli import main


def test_other_machines_need_keys(config: Path) -> None:
    """Beyond loopback it does not start without keys."""
    result = CliRunner().invoke(main, ["serve", "-c", str(config), "--http", "0.0.0.0:0x"])
    assert result.exit_code == 2
    result = CliRunner().invoke(main, ["serve", "-c", str(config), "--http", "0.0.0.0:8080"])
    assert result.exit_code == 1
    assert "sluice key new" in result.output


def test_without_the_extra(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the packages for HTTP are missing, it says how to get them."""
    monkeypatch.setitem(sys.modules, "streams.serve.server", None)
    result = CliRunner().invoke(main, ["serve", "-c", str(config)])
    assert result.exit_code == 1
    assert "sluice-llm[serve]" in result.output


def test_runs_are_for_the_page(config: Path, tmp_path: Path) -> None:
    """A folder that is not there, or that nobody will look at, is no silent mistake."""
    for more, message in (
        (["--ui", "--runs", str(tmp_path / "none")], "does not exist"),
        (["--runs", str(tmp_path)], "--runs is for the page: give --ui, too"),
    ):
        found = CliRunner().invoke(main, ["serve", "--config", str(config), *more])
        assert found.exit_code == 2
        assert message in found.output
