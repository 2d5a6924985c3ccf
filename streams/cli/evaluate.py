"""`sluice evaluate`: what each policy would have made of recorded outcomes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from router.arrays import Vectors
from router.evaluation import experiment, sources, summary
from router.evaluation.budgets import SPLITS
from router.evaluation.datasets import Dataset
from router.evaluation.engine import Run
from router.evaluation.experiment import EvaluationData, Row, Setting
from router.evaluation.loaders import load
from router.evaluation.problem import Problem
from router.evaluation.summary import HEADS, Line, as_json, summarise
from router.policies import POLICIES
from streams.cli import options

SWEPT_BUDGETS = (0.25, 0.5, 1.0, 2.0)
"""Budgets of the plot in a report."""


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise ValueError(f"{text} is not a budget: a positive multiple of the cheapest cost")
    return value


def _split(text: str) -> str:
    if text not in SPLITS:
        raise ValueError(f"no budget split {text!r}; there are: {', '.join(SPLITS)}")
    return text


def _policy(text: str) -> str:
    if text in experiment.REFERENCES:
        raise ValueError(f"{text} is no policy but a reference: it is in every table anyway")
    return options.policy(text)


@click.command(context_settings={"show_default": True})
@click.option("--dataset", help="File (or hub name) of outcomes, split into history and queries.")
@click.option("--test-fraction", default=0.35, help="Part of --dataset that is routed.")
@click.option("--history", help="File of outcomes to learn from (with --queries).")
@click.option("--queries", help="File of outcomes to route, in its order (with --history).")
@click.option(
    "--policy",
    "policies",
    default="primal-dual",
    callback=options.listed(_policy),
    help="Policies, commas between them.",
)
@click.option(
    "--controls/--no-controls",
    default=True,
    help="Add the policies that every claim stands beside: port, static-mix, greedy, random.",
)
@click.option(
    "--budget",
    "budgets",
    default="1",
    callback=options.listed(_positive),
    help="Total budgets, as multiples of what the cheapest model needs for all queries.",
)
@click.option(
    "--split",
    "splits",
    default="weighted",
    callback=options.listed(_split),
    help=f"How models share the budget: {', '.join(SPLITS)}.",
)
@click.option(
    "--models",
    default="0",
    callback=options.listed(int),
    help="Numbers of models, drawn by the seed; 0 is all of them.",
)
@click.option("--orders", default=1, type=click.IntRange(1, 10_000), help="Orders of arrival.")
@click.option(
    "--seed",
    "seeds",
    default="0",
    callback=options.listed(int),
    help="Seeds of split, orders and draws, commas between them.",
)
@click.option("--embedder", default="wordllama", help="Kind, or kind:model.")
@click.option("--k", default=5, type=click.IntRange(1, 1000), help="Neighbours of paper policies.")
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
def command(
    dataset: str | None,
    test_fraction: float,
    history: str | None,
    queries: str | None,
    policies: tuple[str, ...],
    controls: bool,
    budgets: tuple[float, ...],
    splits: tuple[str, ...],
    models: tuple[int, ...],
    orders: int,
    seeds: tuple[int, ...],
    embedder: str,
    k: int,
    json_out: Path | None,
    decisions: Path | None,
    report: Path | None,
) -> None:
    """Compare policies on recorded outcomes, under budgets that run out.

    Queries arrive in order and are decided on estimates from the history alone; then their true
    costs are charged, and a query whose cost no longer fits is lost. RP is the performance
    relative to the offline linear program on the same estimates as the paper's. The same seed
    gives the same bytes.
    """
    if (dataset is None) == (history is None) or (history is None) != (queries is None):
        raise click.UsageError("give either --dataset, or --history together with --queries")
    if report is not None:
        page = _page()
    if controls:
        policies = tuple(dict.fromkeys((*policies, *experiment.CONTROLS)))

    bar = Progress(
        TextColumn("{task.description:22.22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    rows: list[Row] = []
    shown: list[tuple[Row, Run, Problem]] = []
    swept: tuple[list[Row], list[Row]] = ([], [])
    runs = len(policies) + len(experiment.REFERENCES)
    try:
        with bar:
            grounds = _grounds(dataset, test_fraction, history, queries, seeds, embedder, k, bar)
            jobs = [
                (ground, Setting(budget, split, count, seed, order), rows)
                for (seed, ground), budget, split, count, order in product(
                    zip(seeds, grounds, strict=True), budgets, splits, models, range(orders)
                )
            ]
            if report is not None:
                first = jobs[0][1]
                most = len(grounds[0].history.models)
                jobs += [(grounds[0], replace(first, budget=b), swept[0]) for b in SWEPT_BUDGETS]
                jobs += [(grounds[0], replace(first, models=m), swept[1]) for m in _counts(most)]
            task = bar.add_task("routing", total=len(jobs) * runs)
            for ground, setting, kept in jobs:
                for found in experiment.compare(ground, setting, policies):
                    bar.update(task, advance=1, description=found[0].policy)
                    kept.append(found[0])
                    if len(shown) < runs:
                        shown.append(found)
    except ValueError as error:
        raise click.ClickException(str(error)) from error

    lines = summarise(rows)
    _print(lines)
    settings: dict[str, Any] = {
        "dataset": dataset,
        "test_fraction": None if dataset is None else test_fraction,
        "history": history,
        "queries": queries,
        "known_queries": len(grounds[0].history),
        "embedder": embedder,
        "k": k,
        "seeds": seeds,
        "orders": orders,
    }
    if json_out is not None:
        values = {"settings": settings, "rows": [as_json(row) for row in rows]}
        json_out.write_bytes(orjson.dumps(values, option=orjson.OPT_INDENT_2))
    if decisions is not None:
        _, run, problem = next(found for found in shown if found[0].policy == policies[0])
        kind = POLICIES[policies[0]].estimator
        options.write_lines(decisions, summary.decisions(run, problem, kind))
    if report is not None:
        text = page(
            dataset or f"{queries} on {history}",
            {name: value for name, value in settings.items() if value is not None},
            lines,
            shown,
            summarise(swept[0]),
            summarise(swept[1]),
        )
        report.write_text(text, "utf-8")


def _page() -> Callable[..., str]:
    """The report's maker; its plots need the extra `report`."""
    try:
        from router.evaluation.report import page
    except ImportError as error:
        raise click.ClickException(
            f"--report draws with matplotlib, which is not here ({error}): "
            "pip install 'sluice-llm[report]'"
        ) from error
    return page


def _counts(most: int) -> list[int]:
    """2, 4, 8, … and all of the models."""
    return [*(2**i for i in range(1, most.bit_length()) if 2**i < most), most]


def _grounds(
    dataset: str | None,
    test_fraction: float,
    history: str | None,
    queries: str | None,
    seeds: Sequence[int],
    embedder: str,
    k: int,
    bar: Progress,
) -> list[EvaluationData]:
    """The embedded data, one for each seed."""
    model = sources.embedder_named(embedder)

    def embed(data: Dataset) -> Vectors:
        task = bar.add_task("embedding", total=len(data))
        return sources.embed(data.prompts, model, lambda count: bar.advance(task, count))

    if dataset is not None:
        data = load(dataset)
        return list(sources.splits(data, embed(data), test_fraction, seeds, k))
    assert history is not None
    assert queries is not None
    known, asked = sources.common_models(load(history), load(queries))
    return [EvaluationData(known, asked, embed(known), embed(asked), k)] * len(seeds)


def _print(lines: Sequence[Line]) -> None:
    """One table for each budget, split and number of models."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    for cell, group in groupby(lines, key=lambda line: line.cell):
        members = list(group)
        table = Table(
            title=f"{members[0].arrivals} arrivals, {cell.models} models, budget {cell.budget:g} x "
            f"the cheapest model's cost, split {cell.split}, {members[0].runs} runs",
            title_justify="left",
        )
        table.add_column(HEADS[0], no_wrap=True)
        for name in HEADS[1:]:
            table.add_column(name, justify="right", no_wrap=True)
        for line in members:
            table.add_row(*line.cells())
        console.print(table)
