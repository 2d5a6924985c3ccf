"""`sluice replay`: what it can be asked for. (Its figures are tested in tests/e2e.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give --policy NAME,… to compare policies, or --verify"),
        (("--verify", "--policy", "random"), "--verify takes the configured policy"),
        (("--verify", "--budget", "2"), "--verify takes the configured policy"),
        (("--policy", "best"), "no policy 'best'; there are: "),
        (("--policy", "random", "--budget", "0"), "multiple of the configured budgets"),
        (("--policy", "random", "--budget", "x"), "could not convert"),
    ],
)
def test_wrong_usage(config: Path, arguments: tuple[str, ...], words: str) -> None:
    """Said before anything is read; exit code 2."""
    code, _, stderr = run("replay", *arguments, "-c", config, broker="127.0.0.1:9")
    assert code == 2
    assert words in " ".join(stderr.split())
