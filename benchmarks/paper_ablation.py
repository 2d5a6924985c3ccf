"""`python -m benchmarks.paper_ablation`: what each idea in estimates and prices is worth.

Each row takes one thing away or puts another in its place; the rest is Sluice as it ships.
Protocol and datasets are those of `benchmarks.paper` (wordllama). Writes docs/ablations.md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import NamedTuple

import click
import numpy as np
from rich.progress import Progress
from scipy.cluster.vq import kmeans2

from benchmarks.markdown import markdown_table
from benchmarks.paper_jobs import TEST_FRACTION
from router.arrays import Floats, Ints, Vectors
from router.estimation import estimator as estimator_module
from router.estimation import kernel_ridge
from router.estimation.estimator import Estimator, sample_rows
from router.estimation.features import TextFeatures
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex
from router.estimation.kernel_ridge import KernelRidge
from router.evaluation import engine, offline, sources
from router.evaluation.estimates import KINDS, EstimationInputs, OfflineEstimates
from router.evaluation.experiment import REFERENCE_POLICY, EvaluationData, Setting
from router.evaluation.loaders import load
from router.evaluation.predictor import Predictor
from router.evaluation.problem import Problem
from router.models.catalog import ModelCatalog
from router.policies.base import Batch, Decisions
from router.policies.primal_dual import PrimalDual

SEEDS = 3
CLUSTERS = 64
VECTOR_WEIGHT = np.float32(0.5)
"""Of the embedding beside words, in the linear ridge."""


class Figures(NamedTuple):
    """relative: RP; explained: part of the variance of the arrivals' scores; both per cent."""

    relative: float
    explained: float


def neighbours(k: int) -> Callable[[EstimationInputs], OfflineEstimates]:
    """Means over k exact neighbours, as in the paper."""
    return lambda known: KINDS["exact"](replace(known, k=k))


def weighted(known: EstimationInputs, power: float = 4.0) -> OfflineEstimates:
    """Means over 32 neighbours, weighted by a power of their similarity."""
    index, history = ExactIndex(known.history.embeddings), known.history

    def mean(outcomes: Floats, rows: Ints, similarity: Floats | Vectors) -> Floats:
        weight = np.maximum(similarity, 1e-3) ** power
        weight /= weight.sum(axis=1, keepdims=True)
        found: Floats = np.einsum("nk,nkm->nm", weight, outcomes[rows])
        return found

    found = index.search(known.vectors, 32)
    sample = sample_rows(len(history))
    near = index.search(history.embeddings[sample], 33)
    apart = np.where(near.rows == sample[:, None], 0.0, near.similarity)
    return OfflineEstimates(
        mean(history.scores, found.rows, found.similarity),
        mean(history.costs, found.rows, found.similarity),
        mean(history.scores, near.rows, apart),
        mean(history.costs, near.rows, apart),
    )


def shrunk(known: EstimationInputs) -> OfflineEstimates:
    """Means over 16 neighbours and, as if 16 more, the model's own mean."""
    found, history = KINDS["exact"](replace(known, k=16)), known.history
    score, cost = np.nanmean(history.scores, axis=0), np.nanmean(history.costs, axis=0)
    return OfflineEstimates(
        (found.quality + score) / 2,
        (found.cost + cost) / 2,
        (found.warm_quality + score) / 2,
        (found.warm_cost + cost) / 2,
    )


def clusters(known: EstimationInputs) -> OfflineEstimates:
    """Means over the cluster (k-means on embeddings) that a query falls into."""
    history = known.history
    centres, label = kmeans2(history.embeddings, CLUSTERS, minit="++", rng=0)
    size = np.bincount(label, minlength=CLUSTERS)[:, None]
    found = (known.vectors @ centres.T - 0.5 * (centres**2).sum(axis=1)).argmax(axis=1)
    parts = []
    for outcomes in (history.scores, history.costs):
        total = np.zeros((CLUSTERS, outcomes.shape[1]))
        np.add.at(total, label, outcomes)
        overall = outcomes.mean(axis=0)
        parts.append(np.where(size > 0, total / np.maximum(size, 1), overall)[found])
        others = (total[label] - outcomes) / np.maximum(size[label] - 1, 1)
        parts.append(np.where(size[label] > 1, others, overall))
    return OfflineEstimates(parts[0], parts[2], parts[1], parts[3])


def linear(words: bool) -> Callable[[EstimationInputs], OfflineEstimates]:
    """Linear ridge with one penalty for all, on the embedding, or on words and shape too."""

    def made(known: EstimationInputs) -> OfflineEstimates:
        past, asked = known.history.embeddings, known.vectors
        if words:
            texts, seen = TextFeatures.fit(known.history_texts)
            past = np.hstack([past * VECTOR_WEIGHT, *seen])
            asked = np.hstack([asked * VECTOR_WEIGHT, *texts(known.texts)])
        quality = Predictor(past, known.history.scores)
        cost = Predictor(past, np.log(np.maximum(known.history.costs, 1.0)))
        return OfflineEstimates(
            quality.predict(asked),
            np.exp(cost.predict(asked) + cost.half_variance),
            quality.without_itself,
            np.exp(cost.without_itself + cost.half_variance),
        )

    return made


def sluice(
    texts: bool = True,
    neighbours: bool = True,
    cost: Callable[[EstimationInputs], OfflineEstimates] | None = None,
    patched: tuple[ModuleType, str, object] | None = None,
) -> Callable[[EstimationInputs], OfflineEstimates]:
    """Sluice's estimator without texts, without neighbours, with another's costs, or with another
    constant."""

    def made(known: EstimationInputs) -> OfflineEstimates:
        with constant(patched):
            index = ExactIndex(known.history.embeddings)
            whole = Estimator.fit(known.history, index, known.history_texts if texts else None)
        if not neighbours:
            whole = Estimator(known.history, index, replace(whole.fitted, doubt=np.inf))
        with constant(patched):
            found = whole.estimate(known.vectors, known.texts if texts else None)
        own = whole.leave_one_out()
        result = OfflineEstimates(found.quality, found.cost, own.quality, own.cost)
        if cost is None:
            return result
        other = cost(known)
        warm = other.warm_cost
        if len(warm) != len(own.cost):
            warm = warm[sample_rows(len(known.history))]
        return replace(result, cost=other.cost, warm_cost=warm)

    return made


def money(known: EstimationInputs) -> OfflineEstimates:
    """Kernel ridge on all, its costs in money and not in logarithms."""
    texts, seen = TextFeatures.fit(known.history_texts)
    past, asked = [known.history.embeddings, *seen], [known.vectors, *texts(known.texts)]
    least = known.history.costs.min(axis=0)
    ridge, others, *_ = KernelRidge.fit(
        past, estimator_module.KERNELS, known.history.scores, known.history.costs
    )
    found, m = ridge(asked), known.history.scores.shape[1]
    return OfflineEstimates(
        found[:, :m],
        np.maximum(found[:, m:], least),
        others[:, :m],
        np.maximum(others[:, m:], least),
    )


def kernels(*widths: tuple[float, ...]) -> Callable[[EstimationInputs], OfflineEstimates]:
    """Sluice's estimator with other kernels."""
    return sluice(patched=(estimator_module, "KERNELS", widths))


@contextmanager
def constant(patched: tuple[ModuleType, str, object] | None) -> Iterator[None]:
    """Another value for a module's constant, for a while."""
    if patched is None:
        yield
        return
    module, name, value = patched
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


ESTIMATES: dict[str, Callable[[EstimationInputs], OfflineEstimates]] = {
    "means of 5 neighbours (the paper's)": neighbours(5),
    "means of 16": neighbours(16),
    "means of 32": neighbours(32),
    "means of 32, weighted by similarity": weighted,
    "means of 16, shrunk towards the model's": shrunk,
    f"means of {CLUSTERS} clusters": clusters,
    "linear ridge on the embedding": linear(words=False),
    "linear ridge on embedding, words and shape": linear(words=True),
    "kernels on the embedding alone": sluice(texts=False),
    "one kernel on all": kernels((0.25, 1.0, 1.0)),
    "no kernel on the embedding": kernels((0.0, 3.0, 0.0), (0.0, 0.0, 10.0)),
    "no kernel of words alone": kernels((0.25, 1.0, 1.0), (0.0, 0.0, 10.0), (1.0, 0.0, 0.0)),
    "no kernel of shape alone": kernels((0.25, 1.0, 1.0), (0.0, 3.0, 0.0), (1.0, 0.0, 0.0)),
    "no neighbours": sluice(neighbours=False),
    "**four kernels, with neighbours (kept)**": sluice(),
    "the same, costs from 16 neighbours": sluice(cost=neighbours(16)),
    "the same, costs in money, not logarithms": sluice(cost=money),
    "the same, 2,048 landmarks": sluice(patched=(kernel_ridge, "LANDMARKS", 2048)),
}


class NoDefer(PrimalDual):
    """Sends every query somewhere, as the paper does."""

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """All scores are lifted above 0; their order stays."""
        return super().route(replace(batch, quality=batch.quality + 1e3), free)


class NoNextBest(PrimalDual):
    """Gives a query up whose best model has no room."""

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Only the best model is allowed."""
        price = batch.limits.priced(self.gamma, batch.amounts)
        score = np.where(batch.allowed, batch.quality - price, -np.inf)
        best = score >= score.max(axis=1, keepdims=True)
        return super().route(replace(batch, allowed=batch.allowed & best), free)


class Cold(PrimalDual):
    """Knows no history when it begins: until the first solution every model is free."""

    def warm_start(self, quality: Floats, cost: Floats, *others: Floats) -> None:
        """Look away."""


class Newest(PrimalDual):
    """Prices for the newest 2,000 estimates, the history's at first, whatever has come already."""

    def warm_start(self, quality: Floats, cost: Floats, *others: Floats) -> None:
        """Begin with the history, of which every arrival takes away the oldest row."""
        self.observe(quality[sample_rows(len(quality))], cost[sample_rows(len(quality))])


POLICIES: dict[str, Callable[[ModelCatalog], PrimalDual]] = {
    "**primal-dual (every 250, window 2,000)**": PrimalDual,
    "prices for the newest 2,000, not for the mix to come": Newest,
    "no deferring": NoDefer,
    "no next best": NoNextBest,
    "no warm start": Cold,
    "prices solved once, from the history": lambda catalog: PrimalDual(catalog, 10**9, parts=1),
    "every 1,000": lambda catalog: PrimalDual(catalog, every=1000, parts=1),
    "window 4,000": lambda catalog: PrimalDual(catalog, window=4000),
}


def explained(put: Problem, estimates: OfflineEstimates, history: Floats) -> float:
    """Per cent of the variance of the arrivals' scores about each model's mean of the history."""
    mean = np.nanmean(history, axis=0)
    missed = float(((put.scores - estimates.quality)[put.known] ** 2).sum())
    return 100 * (1 - missed / float(((put.scores - mean)[put.known] ** 2).sum()))


def learned_half_way(
    known: EstimationInputs, put: Problem, first: OfflineEstimates
) -> OfflineEstimates:
    """The estimates after half of the arrivals from the history and the results until then:
    of each query the routed model's alone."""
    run = engine.run(PrimalDual(put.catalog), replace(put, estimates=lambda _: first))
    half, models = len(put) // 2, len(put.catalog)
    seen = np.flatnonzero(run.served[:half])
    sent = seen.tolist()
    scores, costs = (np.full((len(seen), models), np.nan) for _ in range(2))
    place = np.arange(len(seen)), run.model[seen]
    scores[place], costs[place] = put.scores[seen][place], put.costs[seen][place]
    past = known.history
    grown = History(
        [*past.ids, *(put.ids[row] for row in sent)],
        np.concatenate([past.embeddings, known.vectors[seen]]),
        np.concatenate([past.scores, scores]),
        np.concatenate([past.costs, costs]),
    )
    texts = [*known.history_texts, *(known.texts[row] for row in sent)]
    later = KINDS["best"](replace(known, history=grown, history_texts=texts))
    return OfflineEstimates(
        np.concatenate([first.quality[:half], later.quality[half:]]),
        np.concatenate([first.cost[:half], later.cost[half:]]),
        first.warm_quality,
        first.warm_cost,
    )


def measure(ground: EvaluationData, seed: int) -> Iterator[tuple[str, str, Figures]]:
    """Each row of both tables on one split: (table, row, figures)."""
    setting = Setting(seed=seed)
    put, known = ground.problem(setting), ground.known
    hundred = engine.settle(put, ground.assigned(REFERENCE_POLICY, setting)).performance

    def figures(policy: PrimalDual, estimates: OfflineEstimates) -> Figures:
        run = engine.run(policy, replace(put, estimates=lambda _: estimates))
        return Figures(
            100 * run.performance / hundred, explained(put, estimates, known.history.scores)
        )

    for name, make in ESTIMATES.items():
        yield "estimates", name, figures(PrimalDual(put.catalog), make(known))
    best = ground.estimates("best")
    later = learned_half_way(known, put, best)
    yield "estimates", "the same, fitted again half-way", figures(PrimalDual(put.catalog), later)
    by_task = np.argsort(np.array(ground.queries.tasks), kind="stable")
    sorted_put = put.reordered(by_task)
    reference = ground.assigned(REFERENCE_POLICY, setting)[by_task]
    sorted_hundred = engine.settle(sorted_put, reference).performance
    for name, build in POLICIES.items():
        yield "policy", name, figures(build(put.catalog), best)
        run = engine.run(build(put.catalog), sorted_put)
        relative = 100 * run.performance / sorted_hundred
        yield "policy, queries by task", name, Figures(relative, float("nan"))
    chosen = offline.assign_on_estimates(put, "best")
    relative = 100 * engine.settle(put, chosen).performance / hundred
    yield "policy", "offline program on the same estimates", Figures(relative, float("nan"))


TABLES = (
    ("policy", "relative", "Prices: RP in per cent"),
    ("policy, queries by task", "relative", "Prices, each task's queries in one block: RP"),
    ("estimates", "relative", "OfflineEstimates: RP in per cent"),
    (
        "estimates",
        "explained",
        "OfflineEstimates: explained variance of the arrivals' scores, per cent",
    ),
)
INTRODUCTION = """# Ablations

Written by `python -m benchmarks.paper_ablation`, from {seeds} splits. Each row takes one thing
away from Sluice or puts another in its place. The protocol is that of [results](results.md).
Differences of one point (two on routerbench3) are noise.
"""


@click.command()
@click.option("--seeds", default=SEEDS, show_default=True, help="Splits of each dataset.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of datasets.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("docs/ablations.md"), show_default=True
)
def main(seeds: int, data: Path | None, out: Path) -> None:
    """Write the tables of ablations."""
    folder = data or Path(os.environ.get("SLUICE_DATA") or "../shared/data")
    paths = sorted(folder.glob("*.jsonl*"))
    if not paths:
        raise click.ClickException(f"no datasets (*.jsonl.gz) in {folder}; set SLUICE_DATA")
    found: dict[tuple[str, str], dict[str, list[Figures]]] = {}
    with Progress() as bar:
        task = bar.add_task("ablations", total=seeds * len(paths))
        for path in paths:
            dataset = load(str(path))
            vectors = sources.embed(dataset.prompts, sources.embedder_named("wordllama"))
            grounds = sources.splits(dataset, vectors, TEST_FRACTION, range(seeds))
            for seed, ground in enumerate(grounds):
                for kind, name, figure in measure(ground, seed):
                    row = found.setdefault((kind, name), {})
                    row.setdefault(path.name.split(".")[0], []).append(figure)
                bar.advance(task)
    names = [path.name.split(".")[0] for path in paths]
    tables = "".join(
        f"\n## {title}\n\n{markdown_table([kind, *names], _rows(found, kind, field))}\n"
        for kind, field, title in TABLES
    )
    out.write_text(f"{INTRODUCTION.format(seeds=seeds)}{tables}")
    click.echo(f"{out} written from {seeds} splits of {len(paths)} datasets")


def _rows(
    found: dict[tuple[str, str], dict[str, list[Figures]]], kind: str, field: str
) -> list[list[str]]:
    return [
        [name, *(f"{fmean(getattr(one, field) for one in of):.1f}" for of in row.values())]
        for (one_kind, name), row in found.items()
        if one_kind == kind
    ]


if __name__ == "__main__":
    main()
