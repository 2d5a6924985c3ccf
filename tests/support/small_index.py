"""A configuration of two models, and an index of a small history beside it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from router.evaluation.datasets import write_jsonl
from router.evaluation.workload import synthesize
from streams.cli import main

MODELS = ("mistral-7b", "gpt-4-1106")


def build_index(config_file: Path, queries: int) -> None:
    """Put an index of so many queries in the configured place, as people do."""
    history = config_file.parent / "history.jsonl"
    write_jsonl(synthesize(queries).with_models(MODELS), history)
    command = ["index", "build", "--history", str(history), "--config", str(config_file)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
