"""`sluice index build`: a folder that routers load, out of histories."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

from router.estimation.index.manifest import load_index, read_manifest
from tests.support.command import run


def history(file: Path, models: tuple[str, ...], letter: str = "q", count: int = 40) -> Path:
    with gzip.open(file, "wt") as lines:
        for number in range(count):
            outcome = {
                "id": f"{letter}{number}",
                "task": "t",
                "prompt": f"question {number} about {'law' if number % 2 else 'maths'}",
                "scores": dict.fromkeys(models, number % 2),
                "cost_usd": dict.fromkeys(models, 1e-5),
            }
            lines.write(json.dumps(outcome) + "\n")
    return file


class TestIndex:
    def test_build(self, config: Path, tmp_path: Path) -> None:
        """The folder holds the history for the configured models, in their order."""
        file = history(tmp_path / "h.jsonl.gz", ("other", "org/large", "small"))
        out = tmp_path / "index"
        code, stdout, stderr = run("index", "build", "--history", file, "--out", out, "-c", config)
        assert code == 0, stderr
        assert "40 queries, 2 models, 256 dimensions" in stdout
        assert "left out, as not configured: other" in stderr
        manifest = read_manifest(out)
        assert manifest.models == ["small", "org/large"]
        assert manifest.count == 40
        assert "estimator.npz" in manifest.files

    def test_several_histories(self, config: Path, tmp_path: Path) -> None:
        """They are joined, the last queries are kept where there are too many, and what each model
        did is where it was known."""
        both = [
            history(tmp_path / "a.jsonl.gz", ("small",), "a"),
            history(tmp_path / "b.jsonl.gz", ("org/large",), "b"),
        ]
        out = tmp_path / "index"
        asked = [part for file in both for part in ("--history", file)]
        code, _, stderr = run("index", "build", *asked, "--most", 70, "--out", out, "-c", config)
        assert code == 0, stderr
        assert "left out: the first 10 queries" in stderr
        known = np.isfinite(
            load_index(out, embedder=read_manifest(out).embedder, dimension=256).history.scores
        )
        assert known.sum(axis=0).tolist() == [30, 40]

    def test_a_learned_index_stays(self, config: Path, tmp_path: Path) -> None:
        """With --if-missing the first call builds, the others change nothing, and say so."""
        out = tmp_path / "index"
        built = []
        for count in (20, 40):
            file = history(tmp_path / "h.jsonl.gz", ("org/large", "small"), count=count)
            asked = ("--history", file, "--out", out, "--if-missing", "-c", config)
            code, stdout, stderr = run("index", "build", *asked)
            assert code == 0, stderr
            built.append(read_manifest(out))
        assert "stays as it is" in stdout
        assert built[0] == built[1]
        assert built[0].count == 20

    def test_a_model_without_outcomes_is_named(self, config: Path, tmp_path: Path) -> None:
        """A configured model that the history does not know stops the build."""
        file = history(tmp_path / "h.jsonl.gz", ("small",))
        code, _, stderr = run("index", "build", "--history", file, "-c", config)
        assert code == 1
        assert "no outcomes of org/large; it has: small" in stderr

    def test_a_bad_history_is_named_by_line(self, config: Path, tmp_path: Path) -> None:
        """File, line and field, not a traceback."""
        bad = tmp_path / "bad.jsonl"
        bad.write_text('{"id": 1}\n')
        code, _, stderr = run("index", "build", "--history", bad, "-c", config)
        assert code == 1
        assert "bad.jsonl, line 1: 'id' must be a string" in stderr

    def test_a_history_of_one_is_too_short(self, config: Path, tmp_path: Path) -> None:
        """Said in a line, not by a traceback."""
        short = tmp_path / "short.jsonl"
        row = {name: {"small": 1, "org/large": 1} for name in ("scores", "cost_usd")}
        short.write_text(json.dumps({"id": "1", "prompt": "?", **row}))
        code, _, stderr = run("index", "build", "--history", short, "-c", config)
        assert code == 1
        assert "a history of 1: estimates need at least 2 outcomes" in stderr

    def test_another_folder_is_not_overwritten(self, config: Path, tmp_path: Path) -> None:
        """A folder that is no index stays as it is."""
        file = history(tmp_path / "h.jsonl.gz", ("small", "org/large"))
        code, _, stderr = run("index", "build", "--history", file, "--out", tmp_path, "-c", config)
        assert code == 1
        assert "something other than an index" in stderr
        assert file.exists()
