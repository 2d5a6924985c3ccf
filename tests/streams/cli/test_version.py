"""`sluice version`: what a bug report needs."""

from __future__ import annotations

from tests.support.command import run


def test_version_names_what_it_runs_on() -> None:
    """What a bug report needs."""
    code, stdout, _ = run("version")
    assert code == 0
    for package in ("sluice-llm ", "faust-streaming ", "confluent-kafka ", "Python 3."):
        assert package in stdout
