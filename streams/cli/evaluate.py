"""`sluice evaluate`: compare policies on recorded outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

import click
import orjson
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from router.arrays import Vectors
from router.evaluation import experiment, sources, summary
from router.evaluation.budgets import GIVEN, SHARED, SPLITS
from router.evaluation.datasets import Dataset
from router.evaluation.engine import Run
from router.evaluation.experiment import EvaluationData, Row, Setting
from router.evaluation.frontier import frontier, single_models, swept_budgets
from router.evaluation.limit_file import read_limits
from router.evaluation.loaders import load
from router.evaluation.problem import Problem
from router.evaluation.summary import HEADS, Cell, Line, as_json, summarise
from router.policies import POLICIES
from streams.cli import options
from streams.cli.bar import make

SWEPT_BUDGETS = (0.25, 0.5, 1.0, 2.0)
"""Budgets of the plot in a report."""


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise ValueError(f"{text} is not a budget: a positive multiple of the cheapest cost")
    return value


def _split(text: str) -> str:
    if text not in (*SPLITS, SHARED):
        raise ValueError(f"no budget split {text!r}; there are: {', '.join((*SPLITS, SHARED))}")
    return text


def _policy(text: str) -> str:
    if text in experiment.REFERENCES:
        raise ValueError(f"{text} is not a policy but a reference, which every table contains")
    return options.policy(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """The options of `sluice evaluate`, as click parsed them; what each means is in its help."""

    dataset: str | None
    test_fraction: float
    history: str | None
    queries: str | None
    policies: tuple[str, ...]
    controls: bool
    corrections: bool
    retry: bool
    budgets: tuple[float, ...]
    splits: tuple[str, ...]
    limits: Path | None
    hours: float
    models: tuple[int, ...]
    orders: int
    seeds: tuple[int, ...]
    embedder: str
    k: int
    json_out: Path | None
    decisions: Path | None
    report: Path | None

    def check(self) -> None:
        """Check that the data come from one place.

        Raises:
            click.UsageError: neither --dataset nor both of --history and --queries are given.
        """
        history, queries = self.history is not None, self.queries is not None
        if (self.dataset is not None) == history or history != queries:
            raise click.UsageError("give either --dataset, or --history together with --queries")

    @property
    def compared_policies(self) -> tuple[str, ...]:
        """The policies asked for, and the controls unless --no-controls; each once."""
        controls = experiment.CONTROLS if self.controls else ()
        return tuple(dict.fromkeys((*self.policies, *controls)))

    @property
    def title(self) -> str:
        """The report's title."""
        return self.dataset or f"{self.queries} on {self.history}"

    def settings(self, known_queries: int) -> dict[str, Any]:
        """Return what the figures depend on, as the JSON output and the report state it."""
        return {
            "dataset": self.dataset,
            "test_fraction": None if self.dataset is None else self.test_fraction,
            "history": self.history,
            "queries": self.queries,
            "known_queries": known_queries,
            "embedder": self.embedder,
            "k": self.k,
            "limits": None if self.limits is None else self.limits.name,
            "hours": self.hours or None,
            "seeds": self.seeds,
            "orders": self.orders,
            **({"corrections": True} if self.corrections else {}),
            **({"retry": True} if self.retry else {}),
        }


@click.command(context_settings={"show_default": True})
@click.option("--dataset", help="File (or hub name) of outcomes, split into history and queries.")
@click.option("--test-fraction", default=0.35, help="Fraction of --dataset that is routed.")
@click.option("--history", help="File of outcomes to learn from (with --queries).")
@click.option("--queries", help="File of outcomes to route, in its order (with --history).")
@click.option(
    "--policy",
    "policies",
    default="primal-dual",
    callback=options.listed(_policy),
    help="Comma-separated policies.",
)
@click.option(
    "--controls/--no-controls",
    default=True,
    help="Also run the control policies: port, static-mix, greedy, random.",
)
@click.option(
    "--corrections",
    is_flag=True,
    help="Have outcomes correct the estimates of primal-dual, as [policy] corrections.",
)
@click.option(
    "--retry",
    is_flag=True,
    help="Decide deferred queries again after each batch, as routers do, not once as the paper.",
)
@click.option(
    "--budget",
    "budgets",
    default="1",
    callback=options.listed(_positive),
    help="Total budgets, as multiples of the cheapest model's cost for all queries.",
)
@click.option(
    "--split",
    "splits",
    default="weighted",
    callback=options.listed(_split),
    help=f"How models share the budget: {', '.join(SPLITS)}; {SHARED}: one budget for all.",
)
@click.option(
    "--limits",
    type=options.FILE,
    help="TOML file of [limits.NAME] tables instead of --split; --budget multiplies the amounts.",
)
@click.option(
    "--hours",
    default=0.0,
    type=options.Number(min=0),
    show_default=False,
    help="Hours that all queries take, evenly, where a limit of --limits has a window.",
)
@click.option(
    "--models",
    default="0",
    callback=options.listed(int),
    help="Numbers of models to sample (by the seed); 0 means all.",
)
@click.option(
    "--orders", default=1, type=click.IntRange(1, 10_000), help="Number of arrival orders."
)
@click.option(
    "--seed",
    "seeds",
    default="0",
    callback=options.listed(int),
    help="Comma-separated seeds for splits, arrival orders and sampling.",
)
@click.option("--embedder", default="wordllama", help="Kind, or kind:model.")
@click.option(
    "--k", default=5, type=click.IntRange(1, 1000), help="Neighbours for the paper's policies."
)
@click.option(
    "--json",
    "json_out",
    type=options.FILE,
    callback=options.writable,
    help="Write every figure here.",
)
@click.option(
    "--decisions",
    type=options.FILE,
    callback=options.writable,
    help="Write each decision of the first policy's first run here.",
)
@click.option(
    "--report",
    type=options.FILE,
    callback=options.writable,
    help="Write a page with tables and plots here.",
)
def command(**values: Any) -> None:
    """Compare policies on recorded outcomes, under budgets that run out.

    Queries arrive in order and are decided on estimates from the history alone; then their true
    costs are charged, and a query whose cost no longer fits is lost. RP is the performance
    relative to the offline linear program on the same estimates as the paper's. The same seed
    gives the same bytes.
    """
    asked = EvaluationOptions(**values)
    asked.check()
    page = _report_writer() if asked.report is not None else None
    try:
        with _progress_bar() as bar:
            found = _evaluate(asked, bar)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    lines = summarise(found.rows)
    _print(lines)
    if found.left_out:
        click.echo(f"{found.left_out} prompts stand on both sides: left out of the history")
    settings = asked.settings(known_queries=found.known_queries)
    if asked.json_out is not None:
        document = {"settings": settings, "rows": [as_json(row) for row in found.rows]}
        asked.json_out.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    if asked.decisions is not None:
        policy = asked.compared_policies[0]
        _, run, problem = next(one for one in found.first if one[0].policy == policy)
        decided = summary.decisions(run, problem, POLICIES[policy].estimator)
        options.write_lines(asked.decisions, decided)
    if asked.report is not None and page is not None:
        by_budget = summarise(found.by_budget)
        shared = by_budget and by_budget[0].cell.split == SHARED
        text = page(
            asked.title,
            {name: value for name, value in settings.items() if value is not None},
            lines,
            found.first,
            by_budget,
            summarise(found.by_models),
            frontier(by_budget, found.singles) if shared else None,
        )
        asked.report.write_text(text, "utf-8")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of all runs.

    Attributes:
        rows: one for each policy and setting that was asked for.
        first: row, run and problem of every policy under the first setting.
        by_budget: rows for the report's plot over budgets; empty without a report.
        by_models: rows for the report's plot over numbers of models; empty without a report.
        known_queries: queries in the history.
        left_out: prompts of the history that stand among the queries, too, and were left out of it.
        singles: what each model alone costs and scores on the first seed's arrivals.
    """

    rows: list[Row] = field(default_factory=list)
    first: list[tuple[Row, Run, Problem]] = field(default_factory=list)
    by_budget: list[Row] = field(default_factory=list)
    by_models: list[Row] = field(default_factory=list)
    known_queries: int = 0
    left_out: int = 0
    singles: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def _evaluate(asked: EvaluationOptions, bar: Progress) -> Evaluation:
    """Run every policy under every setting, one after the other.

    Raises:
        ValueError: the data or the options do not allow it.
    """
    limits = read_limits(asked.limits) if asked.limits is not None else []
    datasets = _datasets(asked, bar)
    for data in datasets:
        data.limits, data.hours = limits, asked.hours
    found = Evaluation(
        known_queries=len(datasets[0].history),
        left_out=datasets[0].left_out,
        singles=single_models(datasets[0].queries),
    )
    jobs = [
        (data, Setting(budget, split, count, seed, order, asked.retry), found.rows)
        for (seed, data), budget, split, count, order in product(
            zip(asked.seeds, datasets, strict=True),
            asked.budgets,
            asked.splits if asked.limits is None else [GIVEN],
            asked.models,
            range(asked.orders),
        )
    ]
    if asked.report is not None:
        data, first, _ = jobs[0]
        counts = _model_counts(len(data.history.models))
        swept = swept_budgets(data.queries) if first.split == SHARED else SWEPT_BUDGETS
        jobs += [(data, replace(first, budget=b), found.by_budget) for b in swept]
        jobs += [(data, replace(first, models=m), found.by_models) for m in counts]
    policies = asked.compared_policies
    runs = len(policies) + len(experiment.REFERENCES)
    task = bar.add_task("routing", total=len(jobs) * runs)
    for data, setting, rows in jobs:
        for one in experiment.compare(data, setting, policies, asked.corrections):
            bar.update(task, advance=1, description=one[0].policy)
            rows.append(one[0])
            if len(found.first) < runs:
                found.first.append(one)
    return found


def _progress_bar() -> Progress:
    return make(
        TextColumn("{task.description:22.22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )


def _report_writer() -> Callable[..., str]:
    """The function that renders the report; its plots need the extra `report`."""
    try:
        from router.evaluation.report import page
    except ImportError as error:
        raise click.ClickException(
            f"--report draws with matplotlib, which is not here ({error}): "
            "pip install 'sluice-llm[report]'"
        ) from error
    return page


def _model_counts(most: int) -> list[int]:
    """2, 4, 8, … and all of the models."""
    return [*(2**i for i in range(1, most.bit_length()) if 2**i < most), most]


def _datasets(asked: EvaluationOptions, bar: Progress) -> list[EvaluationData]:
    """Load and embed history and queries, one pair for each seed."""
    model = sources.embedder_named(asked.embedder)

    def embed(data: Dataset) -> Vectors:
        task = bar.add_task("embedding", total=len(data))
        return sources.embed(data.prompts, model, lambda count: bar.advance(task, count))

    if asked.dataset is not None:
        data = load(asked.dataset)
        vectors = embed(data)
        return list(sources.splits(data, vectors, asked.test_fraction, asked.seeds, asked.k))
    assert asked.history is not None
    assert asked.queries is not None
    history, queries = sources.common_models(load(asked.history), load(asked.queries))
    known = sources.apart(history, queries)
    both = EvaluationData(known, queries, embed(known), embed(queries), asked.k)
    both.left_out = len(history) - len(known)
    return [both] * len(asked.seeds)


def _budget(cell: Cell) -> str:
    if cell.split == GIVEN:
        return f"given limits x {cell.budget:g}"
    return f"budget {cell.budget:g} x the cheapest model's cost, split {cell.split}"


def _print(lines: Sequence[Line]) -> None:
    """One table for each budget, split and number of models."""
    console = options.console(110)
    for cell, group in groupby(lines, key=lambda line: line.cell):
        members = list(group)
        table = Table(
            title=f"{members[0].arrivals} arrivals, {cell.models} models, {_budget(cell)}, "
            f"{members[0].runs} runs",
            title_justify="left",
        )
        table.add_column(HEADS[0], no_wrap=True)
        for name in HEADS[1:]:
            table.add_column(name, justify="right", no_wrap=True)
        for line in members:
            table.add_row(*line.cells())
        console.print(table)
