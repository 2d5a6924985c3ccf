"""Quality floors: what was asked and got, and what it cost beside fixed shares and single models.

    python -m benchmarks.floors DATASET... [--seeds 3] [--parts .25,.5,.75,.9]

A floor lies at a part of the way from the worst to the best model's mean score over the history.
There is money for everything. Each dataset is cut at random into 65 % history and 35 % arrivals,
once a seed. Columns, means over the seeds: the floor; the mean score got; the share of windows of
250 arrivals with at least the floor less 0.02; the cost over that of the cheapest static mix that
gets the same score, and over that of the cheapest single model that gets the floor (nothing where
none does). Both controls know the outcomes of the arrivals.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.optimize import linprog

from router.arrays import Floats
from router.evaluation import engine, sources
from router.evaluation.budgets import SHARED
from router.evaluation.experiment import EvaluationData, Setting, make
from router.evaluation.loaders import load

WINDOW = 250
SLACK = 0.02
PLENTY = 1e4
"""Budget in multiples of what the cheapest model would need for all."""


def mix_cost(score: Floats, cost: Floats, floor: float) -> float:
    """Return the mean cost of the cheapest shares of models that score `floor` on average.

    Args:
        score: float64[M], the models' means.
        cost: float64[M], likewise.
        floor: At most the highest of `score`, else that is what is reached.
    """
    reachable = min(floor, float(score.max()))
    result = linprog(
        cost / cost.max(),
        A_ub=[-score],
        b_ub=[-reachable + 1e-9],
        A_eq=np.ones((1, len(score))),
        b_eq=[1.0],
        bounds=(0.0, 1.0),
        method="highs",
    )
    return float(result.fun * cost.max())


def figures(data: EvaluationData, part: float, seed: int) -> list[float]:
    """Return the columns of one floor on one split."""
    problem = data.problem(Setting(PLENTY, SHARED, seed=seed))
    low, *_, high = np.sort(np.nanmean(data.history.scores, axis=0)).tolist()
    floor = low + part * (high - low)
    run = engine.run(make("quality-floor", problem.catalog, seed, floor=floor), problem)
    served = np.flatnonzero(run.served)
    got = problem.scores[served, run.model[served]]
    windows = np.array(
        [got[i : i + WINDOW].mean() for i in range(0, len(got) - WINDOW + 1, WINDOW)]
    )
    known = (
        np.where(problem.known, problem.scores, np.nan),
        np.where(problem.known, problem.costs, np.nan),
    )
    score, cost = (np.nanmean(table, axis=0) for table in known)
    paid, single = run.cost / len(served), cost[score >= floor].min(initial=np.inf)
    kept = float((windows >= floor - SLACK).mean())
    against = mix_cost(score, cost, float(got.mean()))
    return [
        floor,
        float(got.mean()),
        kept,
        paid / against,
        paid / single if single < np.inf else np.nan,
    ]


def main() -> None:
    """Print a row a dataset and floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", default=".25,.5,.75,.9")
    parser.add_argument("--embedder", default="wordllama")
    asked = parser.parse_args()
    print("dataset", "floor", "got", "windows", "over mix", "over single", sep="\t")
    embedder = sources.embedder_named(asked.embedder)
    for name in asked.datasets:
        data = load(name)
        vectors = sources.embed(data.prompts, embedder)
        splits = list(sources.splits(data, vectors, 0.35, range(asked.seeds)))
        for part in map(float, asked.parts.split(",")):
            rows = [figures(split, part, seed) for seed, split in enumerate(splits)]
            cells = np.nanmean(rows, axis=0)
            print(name, *(f"{cell:.3f}" for cell in cells), sep="\t", flush=True)


if __name__ == "__main__":
    main()
