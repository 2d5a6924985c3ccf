"""Quality floors: what was asked and got, and what it cost beside fixed shares and single models.

    python -m benchmarks.floors DATASET... [--seeds 3] [--parts .1,.25,.5,.75,.9] [--shifted]

A floor lies at a part of the way from the cheapest to the best model's mean score over the history.
There is money for everything. Each dataset is cut at random into 65 % history and 35 % arrivals,
once a seed; --shifted has these arrive task by task. Columns, means over the seeds: the floor; the
mean score got; the share of windows of 250 arrivals with at least the floor less 0.02; the cost
over that of the cheapest static mix that gets the same score, over that of the cheapest single
model that gets the floor (nothing where none does), and over that of the best single model. All
three controls know the outcomes of the arrivals. The last line of a dataset is the correlation of
floors asked and scores got.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

from router.arrays import Floats
from router.evaluation import engine, sources
from router.evaluation.budgets import SHARED
from router.evaluation.experiment import EvaluationData, Row, Setting, make, row_of
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


def figures(data: EvaluationData, part: float, seed: int, shifted: bool) -> tuple[Row, list[float]]:
    """Return the row and the columns of one floor on one split."""
    setting = Setting(PLENTY, SHARED, seed=seed)
    problem = data.problem(setting)
    if shifted:
        problem = problem.reordered(np.argsort(data.queries.tasks, kind="stable"))
    means, costs = np.nanmean(data.history.scores, axis=0), np.nanmean(data.history.costs, axis=0)
    low, high = float(means[costs.argmin()]), float(means.max())
    floor = low + part * (high - low)
    run = engine.run(make("quality-floor", problem.catalog, seed, floor=floor), problem)
    served = np.flatnonzero(run.served)
    got = problem.scores[served, run.model[served]]
    window = max(min(WINDOW, len(got)), 1)
    windows = np.array(
        [got[i : i + window].mean() for i in range(0, len(got) - window + 1, window)]
    )
    known = (
        np.where(problem.known, problem.scores, np.nan),
        np.where(problem.known, problem.costs, np.nan),
    )
    score, cost = (np.nanmean(table, axis=0) for table in known)
    paid, single = run.cost / len(served), cost[score >= floor].min(initial=np.inf)
    kept = float((windows >= floor - SLACK).mean())
    against = mix_cost(score, cost, float(got.mean()))
    columns = [
        floor,
        float(got.mean()),
        kept,
        paid / against,
        paid / single if single < np.inf else np.nan,
        paid / cost[score.argmax()],
    ]
    return row_of("quality-floor", setting, problem, run), [float(cell) for cell in columns]


def main() -> None:
    """Print a row a dataset and floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", default=".1,.25,.5,.75,.9")
    parser.add_argument("--shifted", action="store_true")
    parser.add_argument("--embedder", default="wordllama")
    asked = parser.parse_args()
    print("dataset", "floor", "got", "windows", "over mix", "over single", "over best", sep="\t")
    embedder = sources.embedder_named(asked.embedder)
    for name in asked.datasets:
        data = load(name)
        vectors = sources.embed(data.prompts, embedder)
        splits = list(sources.splits(data, vectors, 0.35, range(asked.seeds)))
        kept = []
        name = Path(name).name.partition(".")[0]
        for part in map(float, asked.parts.split(",")):
            rows = [
                figures(split, part, seed, asked.shifted)[1] for seed, split in enumerate(splits)
            ]
            kept.append(np.nanmean(rows, axis=0))
            print(name, *(f"{cell:.3f}" for cell in kept[-1]), sep="\t", flush=True)
        asked_for, got, *_ = np.transpose(kept)
        print(name, f"correlation {np.corrcoef(asked_for, got)[0, 1]:.3f}", sep="\t", flush=True)


if __name__ == "__main__":
    main()
