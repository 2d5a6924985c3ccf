"""`python -m benchmarks.paper`, on datasets that the test makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from router.evaluation.datasets import write_jsonl
from router.evaluation.experiment import Row, Setting
from tests.support.outcomes import outcomes

pytest.importorskip("matplotlib")
from benchmarks import paper, paper_page


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_jsonl(outcomes(60, seed=1), folder / "one.jsonl.gz")
    return folder


def test_page_has_every_experiment_and_repeats(data: Path, tmp_path: Path) -> None:
    """All sections with their plots; the same data gives the same bytes."""
    written = []
    for name in ("first", "second"):
        out = tmp_path / name
        result = CliRunner().invoke(
            paper.main, ["--quick", "--data", str(data), "--out", str(out), "--jobs", "1"]
        )
        assert result.exit_code == 0, result.output
        written.append({p.name: p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()})
    assert written[0] == written[1]
    assert set(written[0]) == {
        "results.md", "budget-one.svg", "models-one.svg", "arrivals-one.svg", "money-one.svg"
    }  # fmt: skip
    page = written[0]["results.md"].decode()
    for part in (
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
        paper_page.Found("d", "grid", point, _row(policy, performance))
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
