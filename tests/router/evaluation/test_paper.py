"""`python -m benchmarks.paper`, on datasets that the test makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from router.evaluation.datasets import write_jsonl
from router.evaluation.experiment import Row, Setting
from tests.support.outcomes import outcomes

pytest.importorskip("matplotlib")
from benchmarks import paper, paper_found, paper_page


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_jsonl(outcomes(60, seed=1), folder / "one.jsonl.gz")
    return folder


def run(data: Path, out: Path, store: Path, *more: str) -> dict[str, bytes]:
    """Run the command, and return the files that it wrote."""
    options = ["--quick", "--data", str(data), "--out", str(out), "--store", str(store), *more]
    result = CliRunner().invoke(paper.main, options)
    assert result.exit_code == 0, result.output
    return {path.name: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_page_has_every_experiment_and_repeats(data: Path, tmp_path: Path) -> None:
    """All sections with their plots; a run that was stopped goes on, to the same bytes."""
    store = tmp_path / "store"
    some = run(data, tmp_path / "some", store, "--jobs", "1", "--only", "main", "--only", "grid")
    assert "## One budget for all models" not in some["results.md"].decode()
    written = [
        run(data, tmp_path / "whole", store, "--jobs", "1"),
        run(data, tmp_path / "just written", store, "--jobs", "0"),
    ]
    assert written[0] == written[1]
    assert set(written[0]) == {
        "results.md", "budget-one.svg", "models-one.svg", "arrivals-one.svg", "money-one.svg"
    }  # fmt: skip
    page = written[0]["results.md"].decode()
    for part in (
        "## All policies",
        "### Quality floors",
        "| one | eagle |",
        "## Main table",
        "3.55x performance",
        "## One budget for all models",
        "- one: primal-dual reaches",
        "## Budgets, and six ways to share them",
        "| extreme 0.25 |",
        "## Number of models",
        "## Volume",
        "random orders",
        "## Queries sorted by task",
        "## A model removed and another added half-way",
        "results/budget-one.svg",
    ):
        assert part in page
    for baseline in paper_page.BASELINES:
        assert f"| {baseline} |" in page


def test_no_data_is_said(tmp_path: Path) -> None:
    """A folder without datasets ends with what to set."""
    result = CliRunner().invoke(paper.main, ["--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "SLUICE_DATA" in result.output


def test_cells_that_are_not_won_are_named(tmp_path: Path) -> None:
    """A cell is held against the best other policy; where that leads, the page says so."""
    rows = [
        paper_found.Found("d", "grid", point, _row(policy, performance))
        for point, ours in (("uniform 1", 5.0), ("uniform 2", 7.0))
        for policy, performance in (("primal-dual", ours), ("port", 6.0), ("static-mix", 1.0))
    ]
    text = paper_page._grid(rows, tmp_path)
    assert "highest performance in 1 of 2 cells" in text
    assert "It is above static-mix in all of them." in text
    assert "Not above port in 1: d, uniform 1 (6.0 : 5.0)." in text
    assert text.count("**no**") == 1
    assert "| port 6.0 |" in text


def _row(policy: str, performance: float) -> Row:
    return Row(policy, Setting(), 10, performance, 10**9, 5, 3, 2, 50.0, {}, {})
