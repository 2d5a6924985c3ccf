"""Decisions a second on one core, and what approximate neighbours cost.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.decision [--history 27000] [--seeds 2]

First the rate of estimate + score + reserve for given embeddings, by kind of index and by whether
the texts are looked at too; the baseline is the exact index. Processor time is counted, so that
other work on the machine does not. Then RP with Annoy's neighbours beside exact ones, on every
dataset in SLUICE_DATA or ../shared/data.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import machine
from router.estimation.embedders import make_embedder
from router.estimation.estimator import Estimator
from router.estimation.history import History
from router.estimation.index import AnnoyIndex, ExactIndex, NeighbourIndex
from router.evaluation import budgets, engine, offline
from router.evaluation.datasets import Dataset, read_jsonl
from router.evaluation.estimates import KINDS, EstimationInputs, OfflineEstimates
from router.evaluation.problem import make_problem
from router.evaluation.workload import synthesize
from router.models.catalog import ModelCatalog
from router.policies.base import Batch
from router.policies.primal_dual import PrimalDual
from router.pricing.prices import Program, dual_prices

BATCH = 512
ROUNDS = 5
SEARCH_K = (100, 200, 400, 800)


def rate(
    estimator: Estimator,
    policy: PrimalDual,
    limits: np.ndarray,
    queries: History,
    texts: list[str] | None,
) -> float:
    """Decisions a second of processor time, the median of some rounds."""
    rates = []
    for _ in range(ROUNDS):
        free = limits.copy()
        start = time.process_time()
        for i in range(0, len(queries), BATCH):
            part = slice(i, i + BATCH)
            found = estimator.estimate(
                queries.embeddings[part], None if texts is None else texts[part]
            )
            bound = np.ceil(found.cost).astype(np.int64)
            allowed = np.ones(bound.shape, dtype=np.bool_)
            batch = Batch(queries.ids[part], found.quality, found.cost, bound, allowed)
            chosen = policy.route(batch, free).model
            sent = np.flatnonzero(chosen >= 0)
            np.subtract.at(free, chosen[sent], bound[sent, chosen[sent]])
        rates.append(len(queries) / (time.process_time() - start))
    return statistics.median(rates)


def speed(count: int, folder: Path) -> None:
    """Rates on the synthetic workload, which has the words and the vectors of real prompts."""
    asked = 5120
    data = synthesize(count + asked)
    vectors = make_embedder().encode(list(data.prompts))
    past, later = data.take(np.arange(count)), data.take(np.arange(count, count + asked))
    history, queries = past.history(vectors[:count]), later.history(vectors[count:])
    exact = ExactIndex(history.embeddings)
    AnnoyIndex.build(history.embeddings, folder / "speed.ann")
    start = time.perf_counter()
    fitted = Estimator.fit(history, exact, past.prompts)
    print(f"fit of {count:,} x {vectors.shape[1]}: {time.perf_counter() - start:.1f} s, "
          f"k = {fitted.k}, doubt of neighbours {fitted.fitted.doubt:g}")  # fmt: skip
    policy, limits = warm(fitted, data.catalog(), budgets.limits(past, later))
    truth = exact.search(queries.embeddings, fitted.k).rows
    indexes: list[tuple[str, NeighbourIndex]] = [("exact (baseline)", exact)]
    indexes += [
        (f"annoy, search_k {most}", AnnoyIndex(folder / "speed.ann", exact.dimension, most))
        for most in SEARCH_K
    ]
    print(f"{'index':<22} {'recall':>7} {'decisions/s':>12} {'with texts':>10}")
    for name, index in indexes:
        estimator = Estimator(history, index, fitted.fitted)
        found = index.search(queries.embeddings, fitted.k).rows
        recall = np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)])
        texts = list(later.prompts)
        bare, full = (rate(estimator, policy, limits, queries, t) for t in (None, texts))
        print(f"{name:<22} {recall:>7.3f} {bare:>12,.0f} {full:>10,.0f}")
    lp(18)


def lp(models: int) -> None:
    """The time of one linear program of 2,000 queries, from nothing and from the last prices."""
    random = np.random.default_rng(0)
    ability, hard = random.uniform(-1, 1, models), random.normal(size=(2000, 1))
    quality = 1 / (1 + np.exp(hard - ability - 0.3 * random.normal(size=(2000, models))))
    cost = np.exp(random.normal(size=models) + 0.5 * random.normal(size=(2000, models))) * 1e5
    limits = cost.sum(axis=0) * 0.6 / models
    start = time.process_time()
    gamma = dual_prices(Program.per_model(quality, cost, limits))
    first = time.process_time() - start
    dual_prices(Program.per_model(quality, cost, limits * 0.97), gamma)
    again = time.process_time() - start - first
    print(f"linear program of 2,000 x {models}: {first:.3f} s, from the last prices {again:.3f} s")


def warm(
    estimator: Estimator, catalog: ModelCatalog, limits: np.ndarray
) -> tuple[PrimalDual, np.ndarray]:
    """A policy with prices, and limits that the rounds do not use up at once."""
    policy, past = PrimalDual(catalog), estimator.leave_one_out()
    policy.warm_start(past.quality, past.cost)
    policy.plan(limits, 5120.0)
    return policy, limits


def quality(data: Dataset, vectors: np.ndarray, seed: int, folder: Path) -> list[float]:
    """RP with exact neighbours, then with Annoy's by SEARCH_K."""
    place = {name: row for row, name in enumerate(data.ids)}
    past, later = data.split(seed=seed)
    history = past.history(vectors[[place[name] for name in past.ids]])
    asked = vectors[[place[name] for name in later.ids]]
    known = EstimationInputs(history, past.prompts, asked, later.prompts, 5)
    limits = budgets.limits(past, later)
    reference = KINDS["exact"](known)
    exact = ExactIndex(history.embeddings)
    fitted = Estimator.fit(history, exact, past.prompts)
    AnnoyIndex.build(history.embeddings, folder / "rp.ann")
    put = make_problem(later, limits, lambda kind: reference)
    hundred = engine.settle(put, offline.assign_on_estimates(put)).performance
    relative = []
    for index in (exact, *(AnnoyIndex(folder / "rp.ann", exact.dimension, k) for k in SEARCH_K)):
        estimator = Estimator(history, index, fitted.fitted)
        found, own = estimator.estimate(asked, later.prompts), estimator.leave_one_out()
        best = {"best": OfflineEstimates(found.quality, found.cost, own.quality, own.cost)}
        run = engine.run(PrimalDual(put.catalog), make_problem(later, limits, best.__getitem__))
        relative.append(100 * run.performance / hundred)
    return relative


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--history", type=int, default=27_000)
    options.add_argument("--seeds", type=int, default=2)
    chosen = options.parse_args()
    print(machine(), f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speed(chosen.history, folder)
        files = sorted(Path(os.environ.get("SLUICE_DATA") or "../shared/data").glob("*.jsonl.gz"))
        if files:
            print(f"{'RP, %':<22} {'exact':>7}", *(f"annoy {most:>4}" for most in SEARCH_K))
        every = []
        for path in files:
            data = read_jsonl(path)
            vectors = make_embedder().encode(list(data.prompts))
            rows = [quality(data, vectors, seed, folder) for seed in range(chosen.seeds)]
            every += rows
            line = " ".join(f"{value:>10.1f}" for value in np.mean(rows, axis=0))
            print(f"{path.name.removesuffix('.jsonl.gz'):<18} {line}", flush=True)
        if every:
            line = " ".join(f"{value:>10.1f}" for value in np.mean(every, axis=0))
            print(f"{'mean':<18} {line}")


if __name__ == "__main__":
    main()
