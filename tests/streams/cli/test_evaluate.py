"""`sluice evaluate`, from the command line to the files it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from router.evaluation.datasets import read_jsonl, write_jsonl
from streams.cli.evaluate import command
from tests.support.outcomes import outcomes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "outcomes.jsonl.gz"
    write_jsonl(outcomes(150), path)
    return path


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_table_has_policy_controls_and_references(data: Path) -> None:
    """The policy stands beside what every claim stands beside."""
    result = evaluate("--dataset", data)
    assert result.exit_code == 0, result.output
    for name in ("primal-dual", "port", "static-mix", "greedy-perf", "random"):
        assert name in result.output
    assert re.search(r"offline-lp-estimates\D+100\.0", result.output)
    assert "offline-lp-truth" in result.output


def test_same_seed_same_bytes(data: Path, tmp_path: Path) -> None:
    """Figures, decisions and report repeat to the byte."""
    pytest.importorskip("matplotlib")
    written = []
    for run in ("first", "second"):
        outs = [tmp_path / f"{run}.{kind}" for kind in ("json", "jsonl", "html")]
        options = zip(("--json", "--decisions", "--report"), outs, strict=True)
        flat = [part for option in options for part in option]
        result = evaluate("--dataset", data, "--policy", "primal-dual,random", "--orders", 2, *flat)
        assert result.exit_code == 0, result.output
        written.append([out.read_bytes() for out in outs])
    assert written[0] == written[1]


def test_one_budget_for_all_models(data: Path, tmp_path: Path) -> None:
    """The report begins with what the router is worth, and names no spread of a single run."""
    pytest.importorskip("matplotlib")
    page, figures = tmp_path / "out.html", tmp_path / "out.json"
    options = ("--split", "shared", "--budget", 2, "--report", page, "--json", figures)
    result = evaluate("--dataset", data, *options)
    assert result.exit_code == 0, result.output
    first = page.read_text("utf-8").split("<p>")[1]
    assert first.startswith("<b>primal-dual reaches")
    assert "on the best static mix" in first
    for row in json.loads(figures.read_bytes())["rows"]:
        assert list(row["limits_nano_usd"]) == ["total"]
        assert row["spent_nano_usd"]["total"] == pytest.approx(row["cost_nano_usd"], rel=0.5)
        assert row["cost_nano_usd"] <= row["limits_nano_usd"]["total"]


def test_outcomes_may_correct_estimates(tmp_path: Path) -> None:
    """Of a model whose answers score nothing any more, in a file's order: others get its queries.
    The same again gives the same bytes."""
    whole = outcomes(600)
    history, queries = whole.take(np.arange(300)), whole.take(np.arange(300, 600))
    best = int(history.scores.mean(axis=0).argmax())
    queries.scores[:, best] = 0.0
    files = [tmp_path / "history.jsonl.gz", tmp_path / "queries.jsonl.gz"]
    write_jsonl(history, files[0])
    write_jsonl(queries, files[1])
    figures = []
    for number, options in enumerate([[], ["--corrections"], ["--corrections"]]):
        out = tmp_path / f"{number}.json"
        asked: list[object] = ["--history", files[0], "--queries", files[1], "--json", out]
        asked += ["--split", "shared", "--budget", 20, "--no-controls"]
        result = evaluate(*asked, *options)
        assert result.exit_code == 0, result.output
        figures.append(out.read_bytes())
    assert figures[1] == figures[2]
    first, second = (
        next(row for row in json.loads(one)["rows"] if row["policy"] == "primal-dual")
        for one in figures[:2]
    )
    assert second["performance"] > 1.1 * first["performance"]


def test_deferred_queries_may_be_decided_again(data: Path, tmp_path: Path) -> None:
    """Their decisions say when; the same again gives the same bytes, once is the default."""
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    decided = tmp_path / "decisions.jsonl"
    for file in files:
        result = evaluate(
            *("--dataset", data, "--budget", 0.5, "--retry", "--json", file),
            *("--decisions", decided),
        )
        assert result.exit_code == 0, result.output
    assert files[0].read_bytes() == files[1].read_bytes()
    assert json.loads(files[0].read_bytes())["settings"]["retry"] is True
    turns = [json.loads(line)["turn"] for line in decided.read_text("utf-8").splitlines()]
    assert len(set(turns)) == len(turns)
    assert max(turns) >= len(turns)


def test_limits_of_a_file(data: Path, tmp_path: Path) -> None:
    """Any limits, scaled by --budget."""
    limits, figures = tmp_path / "limits.toml", tmp_path / "out.json"
    limits.write_text(
        "[limits.total]\namount = 1.0\n[limits.calls]\namount = 3\nunit = 'requests'\n", "utf-8"
    )
    options = ("--limits", limits, "--budget", 2, "--no-controls", "--json", figures)
    result = evaluate("--dataset", data, *options)
    assert result.exit_code == 0, result.output
    assert "given limits x 2" in result.output
    rows = json.loads(figures.read_bytes())["rows"]
    assert [row["served"] for row in rows] == [6] * 3
    limits.write_text("[limits.calls]\namount = 2\nunit = 'requests'\nwindow = 'hour'\n", "utf-8")
    result = evaluate("--dataset", data, *options, "--hours", 4)
    assert result.exit_code == 0, result.output
    rows = json.loads(figures.read_bytes())["rows"]
    assert [row["limits_nano_usd"]["calls"] for row in rows] == [16] * 3
    assert all(0 < row["served"] <= 16 for row in rows)
    result = evaluate("--dataset", data, *options)
    assert result.exit_code == 1
    assert "--hours" in result.output
    result = evaluate("--dataset", data, "--limits", tmp_path / "none.toml")
    assert result.exit_code == 1
    assert "none.toml" in result.output


def test_json_has_every_cell(data: Path, tmp_path: Path) -> None:
    """Budgets x splits x models x seeds x orders, for each policy and both references."""
    out = tmp_path / "out.json"
    options = [
        "--budget",
        "0.5,1",
        "--split",
        "uniform,extreme",
        "--models",
        "2,3",
        "--seed",
        "0,1",
        "--orders",
        "2",
    ]
    result = evaluate(
        "--dataset", data, "--policy", "random", "--no-controls", *options, "--json", out
    )
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 3 * 2 * 2 * 2 * 2 * 2
    cells = {
        tuple(row[k] for k in ("policy", "budget", "split", "models", "seed", "order"))
        for row in rows
    }
    assert len(cells) == len(rows)
    for row in rows:
        assert sum(row["spent_nano_usd"].values()) == row["cost_nano_usd"]
        assert all(
            row["spent_nano_usd"][name] <= limit for name, limit in row["limits_nano_usd"].items()
        )
        assert row["served"] + row["deferred"] + row["lost"] == row["arrivals"]


def test_given_split_keeps_the_files_order(tmp_path: Path) -> None:
    """With --history and --queries, decisions come in the order of the queries' file, and can be
    charged again to the figures that --json states."""
    history, queries = outcomes(120).split(0.3, seed=4)
    write_jsonl(history, tmp_path / "history.jsonl")
    write_jsonl(queries, tmp_path / "queries.jsonl")
    result = evaluate(
        "--history", tmp_path / "history.jsonl", "--queries", tmp_path / "queries.jsonl",
        "--decisions", tmp_path / "decisions.jsonl", "--json", tmp_path / "out.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "decisions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == list(queries.ids)
    assert set(lines[0]) == {"id", "model", "reason", "estimates", "prices_version"}
    assert set(lines[0]["estimates"]) == set(queries.models)

    row = next(
        row
        for row in json.loads((tmp_path / "out.json").read_text())["rows"]
        if row["policy"] == "primal-dual"
    )
    left = dict(row["limits_nano_usd"])
    performance = 0.0
    for i, line in enumerate(lines):
        if line["model"] is not None:
            model = queries.models.index(line["model"])
            cost = int(queries.costs[i, model])
            if cost <= left[line["model"]]:
                left[line["model"]] -= cost
                performance += float(queries.scores[i, model])
    assert performance == row["performance"]
    assert performance > 0


def test_report_is_one_page_without_links(data: Path, tmp_path: Path) -> None:
    """Main table and the four plots, nothing fetched from elsewhere."""
    pytest.importorskip("matplotlib")
    out = tmp_path / "report.html"
    result = evaluate("--dataset", data, "--report", out)
    assert result.exit_code == 0, result.output
    text = out.read_text()
    assert text.count("<figure>") >= 4
    for caption in ("model's budget", "over time", "against budget", "against the number"):
        assert caption in text
    assert not re.search(r"(src|href)=\"(?!#)", text.replace("xlink:href", "href"))
    assert "<script" not in text


def test_titles_are_escaped(tmp_path: Path) -> None:
    """A file's name is text, not markup."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "a<b>&.jsonl"
    write_jsonl(outcomes(40), path)
    out = tmp_path / "report.html"
    assert evaluate("--dataset", path, "--report", out).exit_code == 0
    assert "a&lt;b&gt;&amp;.jsonl" in out.read_text()
    assert "a<b>" not in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--dataset"),
        (["--history", "h"], "--queries"),
        (["--dataset", "d", "--history", "h", "--queries", "q"], "--dataset"),
        (["--dataset", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--dataset", "d", "--policy", "best"], "no policy 'best'"),
        (["--dataset", "d", "--budget", "0"], "positive"),
        (["--dataset", "d", "--budget", "much"], "much"),
        (["--dataset", "d", "--split", "fair"], "weighted"),
        (["--dataset", "d", "--embedder", "word2vec"], "word2vec"),
        (["--dataset", "d", "--json", "no/such/folder/out.json"], "no/such/folder"),
    ],
)
def test_errors_say_what_to_do(arguments: list[str], message: str) -> None:
    """Mistakes end with a sentence, not with a traceback."""
    result = evaluate(*arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("options", [["--test-fraction", "0"], ["--models", "99"]])
def test_impossible_settings_are_refused(data: Path, options: list[str]) -> None:
    """What the data cannot give is said, too."""
    result = evaluate("--dataset", data, *options)
    assert result.exit_code == 1
    assert "Error: " in result.output


def test_queries_in_the_history_are_refused(data: Path) -> None:
    """A query whose own outcome is in the history would be no test: such prompts are left out, and
    a history of nothing else is refused."""
    result = evaluate("--history", data, "--queries", data)
    assert result.exit_code == 1
    assert "all prompts of the history stand among the queries" in result.output


def test_help_states_defaults() -> None:
    """Each option with its default."""
    text = evaluate("--help").output
    for part in ("--test-fraction", "0.35", "weighted", "wordllama", "--decisions"):
        assert part in text


def test_written_data_reads_back(data: Path) -> None:
    """The tests' own file is a dataset like any other."""
    again, made = read_jsonl(data), outcomes(150)
    assert again.models == made.models
    assert again.scores.tolist() == made.scores.tolist()
    assert again.costs == pytest.approx(made.costs)
