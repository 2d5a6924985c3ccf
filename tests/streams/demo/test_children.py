"""Child processes of the demo: started, monitored and stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.demo.children import ChildDied, Children


def test_run_waits_for_the_end(tmp_path: Path) -> None:
    """Its output is in NAME.log, and it is no longer among the running."""
    with Children(tmp_path, {}) as children:
        children.run("version", "version")
        assert "Python 3." in (tmp_path / "version.log").read_text()
        children.check()
        assert children.tails() == ""


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    """With the name and the exit code."""
    with Children(tmp_path, {}) as children:
        with pytest.raises(ChildDied, match="process bad ended with exit code 2") as raised:
            children.run("bad", "nonsense")
        assert "No such command 'nonsense'" in str(raised.value)


def test_an_end_that_nobody_asked_for_is_noticed(tmp_path: Path) -> None:
    """By the next check."""
    with Children(tmp_path, {}) as children:
        children.start("short", "version")
        children._running["short"].wait()
        with pytest.raises(ChildDied, match="process short ended with exit code 0"):
            children.check()


def test_all_end_with_the_context(tmp_path: Path) -> None:
    """Those that would run for ever, too; they get the variables that were asked for."""
    with Children(tmp_path, {"SLUICE_BROKER": "127.0.0.1:9"}) as children:
        children.start("broker", "broker", "embedded")
        process = children._running["broker"]
        assert process.poll() is None
    assert process.returncode is not None
