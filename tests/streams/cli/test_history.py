"""`sluice history` on a recorded deployment."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson

from schemas import Result
from schemas.wire import decode
from tests.support.recording import Restored


def test_answered_queries(deployment: Restored, tmp_path: Path) -> None:
    """Each line is an answered query with the outcome of its one model, once."""
    file = tmp_path / "history.jsonl.gz"
    found = deployment.sluice("history", file)
    assert found.exit_code == 0, found.output
    lines = [orjson.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert f"{len(lines)} answered queries" in found.output
    ids = [line["id"] for line in lines]
    assert len(set(ids)) == len(ids) > 0
    results = deployment.recording.of("results")
    valid = [decode(Result, one.value) for one in results if b"decision_id" in (one.value or b"")]
    assert set(ids) <= {result.id for result in valid}
    assert all(line["scores"].keys() == line["cost_usd"].keys() for line in lines)
    assert all(len(line["scores"]) == 1 for line in lines)


def test_on_standard_output(deployment: Restored, tmp_path: Path) -> None:
    """The same lines, and nothing else."""
    file = tmp_path / "history.jsonl"
    assert deployment.sluice("history", file).exit_code == 0
    found = deployment.sluice("history", "-")
    assert found.exit_code == 0, found.output
    assert found.stdout_bytes == file.read_bytes()
    assert "answered queries" in found.stderr


def test_a_folder_that_is_not_there(deployment: Restored, tmp_path: Path) -> None:
    """Is said at once, before anything is read."""
    found = deployment.sluice("history", tmp_path / "nowhere" / "history.jsonl")
    assert found.exit_code == 2
    assert "not there or not writable" in " ".join(found.output.replace("│", " ").split())
