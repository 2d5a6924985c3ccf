"""Cold start on recorded outcomes: how much of the full history's score little data reaches.

    python -m benchmarks.cold_start DATASET... [--budgets 1,4] [--seeds 1] [--models 11]

Each dataset is cut at random into 65 % history and 35 % arrivals, and `--models` are drawn where
there are more. All arrivals are routed under one shared budget, in what the cheapest model needs
for all of them, by the default policy on what is known:

    full       the whole history
    bootstrap  300 of its queries, answered by all models (`sluice bootstrap`)
    exploring  what was seen of its first 2,000 queries when these were routed from nothing, one
               outcome a query: beliefs by price, [cold_start]'s defaults, a new index after
               every 500 queries (`sluice learn`)

and beside them the best static mix on the whole history, and random. A price list that goes with
the models is taken to be known: their mean costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from router.arrays import Floats, Vectors
from router.estimation.embedders import Embedder
from router.evaluation import engine, experiment, sources
from router.evaluation.budgets import SHARED
from router.evaluation.datasets import Dataset
from router.evaluation.experiment import EvaluationData, Setting
from router.evaluation.loaders import load
from router.evaluation.workload import synthesize
from router.policies.base import NONE, Policy
from router.policies.explore import Explore
from streams.config.settings import ColdStartSettings
from streams.routing.prior import STRONGEST, WEAKEST

BOOTSTRAP, EXPLORED, STEP = 300, 2_000, 500
OURS = "primal-dual"
COLUMNS = ("full", "bootstrap", "exploring", "static mix", "random")


@dataclass(frozen=True, slots=True)
class Known:
    """Queries and what is known of their outcomes, with float32[n, dim] vectors."""

    data: Dataset
    vectors: Vectors

    def take(self, rows: slice) -> Known:
        """Return a part."""
        return Known(self.data.take(np.arange(len(self.data))[rows]), self.vectors[rows])

    def and_then(self, other: Known) -> Known:
        """Return both, one after the other."""
        mine, theirs = self.data, other.data
        whole = Dataset(
            [*mine.ids, *theirs.ids],
            [*mine.tasks, *theirs.tasks],
            [*mine.prompts, *theirs.prompts],
            mine.models,
            np.concatenate([mine.scores, theirs.scores]),
            np.concatenate([mine.costs, theirs.costs]),
        )
        return Known(whole, np.concatenate([self.vectors, other.vectors]))

    def counts(self) -> Floats:
        """Return float64[M], the outcomes known of each model."""
        counts: Floats = np.isfinite(self.data.scores).sum(axis=0).astype(np.float64)
        return counts

    def routing(self, arrivals: Known) -> EvaluationData:
        """Return arrivals to be routed on what is known here."""
        return EvaluationData(self.data, arrivals.data, self.vectors, arrivals.vectors)


class Exploration:
    """Learns from nothing, by routing queries one step after the other."""

    def __init__(self, prices: Floats, embedder: Embedder, settings: ColdStartSettings) -> None:
        """Args:
        prices: float64[M], of an answer, nano-dollars.
        embedder: Of the queries.
        settings: How it explores.
        """
        ranks = np.searchsorted(np.unique(prices), prices) / max(len(np.unique(prices)) - 1, 1)
        self._believed = WEAKEST + (STRONGEST - WEAKEST) * ranks
        self._prices, self._settings = prices, settings
        self._prompts = synthesize(settings.outcomes, 0).prompts
        self._vectors = embedder.encode(self._prompts)

    def learn(self, stream: Known, budget: float, seed: int) -> Known:
        """Return what is known after a stream of queries, beliefs included.

        Args:
            stream: With all outcomes; of each query only that of the model chosen is looked at.
            budget: For the stream, in what the cheapest model needs for it.
            seed: Of the draws.
        """
        seen = stream.take(slice(0, 0))
        for start in range(0, len(stream.data), STEP):
            part = stream.take(slice(start, start + STEP))
            seen = seen.and_then(self._route(seen, part, budget, seed))
        return self._with_beliefs(seen)

    def _route(self, seen: Known, part: Known, budget: float, seed: int) -> Known:
        problem = self._with_beliefs(seen).routing(part).problem(Setting(budget, SHARED, seed=seed))
        policy: Policy = experiment.make(OURS, problem.catalog, seed)
        if seen.counts().min() < self._settings.outcomes:
            policy = Explore(policy, self._settings.explore, seed, money=self._settings.money)
        run = engine.run(policy, problem)
        rows = np.flatnonzero((run.model != NONE) & run.served)
        looked_at = np.zeros(part.data.scores.shape, dtype=np.bool_)
        looked_at[rows, run.model[rows]] = True
        data = replace(
            part.data,
            scores=np.where(looked_at, part.data.scores, np.nan),
            costs=np.where(looked_at, part.data.costs, np.nan),
        )
        return Known(data.take(rows), part.vectors[rows])

    def _with_beliefs(self, seen: Known) -> Known:
        """As `streams.routing.prior.prior_rows` has them for a configuration."""
        wanting = np.maximum(self._settings.outcomes - seen.counts(), 0)
        count = int(wanting.max())
        given = np.arange(count)[:, None] < wanting
        beliefs = Dataset(
            [f"prior-{number}" for number in range(count)],
            [""] * count,
            self._prompts[:count],
            seen.data.models,
            np.where(given, self._believed, np.nan),
            np.where(given, self._prices, np.nan),
        )
        return seen.and_then(Known(beliefs, self._vectors[:count]))


def scores(data: EvaluationData, budget: float, seed: int, policies: Sequence[str]) -> list[float]:
    """Return the score of each policy under one shared budget."""
    problem = data.problem(Setting(budget, SHARED, seed=seed))
    runs = (engine.run(experiment.make(name, problem.catalog, seed), problem) for name in policies)
    return [run.performance for run in runs]


def rows_of(
    dataset: Dataset, budgets: Sequence[float], seeds: int, embedder: Embedder
) -> list[tuple[float, list[float]]]:
    """Return, for each budget and seed, the scores in the order of `COLUMNS`."""
    vectors = sources.embed(dataset.prompts, embedder)
    exploration = Exploration(np.nanmean(dataset.costs, axis=0), embedder, ColdStartSettings())
    found = []
    for seed, full in enumerate(sources.splits(dataset, vectors, 0.35, range(seeds))):
        history = Known(full.history, full.known.history.embeddings)
        arrivals = Known(full.queries, full.known.vectors)
        few = history.take(slice(0, BOOTSTRAP)).routing(arrivals)
        for budget in budgets:
            learned = exploration.learn(history.take(slice(0, EXPLORED)), budget, seed)
            whole, static, random = scores(full, budget, seed, (OURS, "static-mix", "random"))
            [bootstrap] = scores(few, budget, seed, (OURS,))
            [explored] = scores(learned.routing(arrivals), budget, seed, (OURS,))
            found.append((budget, [whole, bootstrap, explored, static, random]))
    return found


def main() -> None:
    """Print a row for each dataset and budget, relative to the full history, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--budgets", default="1,4")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--models", type=int, default=11)
    parser.add_argument("--embedder", default="wordllama")
    asked = parser.parse_args()
    embedder = sources.embedder_named(asked.embedder)
    print("dataset", "budget", *COLUMNS, sep="\t")
    everything = []
    for name in asked.datasets:
        data = load(name)
        if len(data.models) > asked.models:
            drawn = np.random.default_rng(0).permutation(len(data.models))[: asked.models]
            data = data.with_models([data.models[i] for i in np.sort(drawn)])
        budgets = [float(budget) for budget in asked.budgets.split(",")]
        for budget, (full, *others) in rows_of(data, budgets, asked.seeds, embedder):
            parts = [other / full for other in others]
            everything.append(parts)
            cells = (f"{part:.3f}" for part in parts)
            print(name, f"{budget:g}x", f"{full:.1f}", *cells, sep="\t", flush=True)
    means = (f"{fmean(column):.3f}" for column in zip(*everything, strict=True))
    print("mean", "", "", *means, sep="\t")


if __name__ == "__main__":
    main()
