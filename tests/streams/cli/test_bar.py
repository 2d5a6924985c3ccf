"""The progress bar is for people: on a terminal only, and never among the output."""

from __future__ import annotations

import pytest

from streams.cli.bar import progress


def test_nothing_is_shown_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Output that is piped, and logs, hold no bar."""
    with progress() as bar:
        task = bar.add_task("queries", total=2)
        bar.advance(task, 2)
    assert bar.finished
    assert capsys.readouterr() == ("", "")
