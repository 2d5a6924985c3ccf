"""One shared budget: Sluice's score over that of the best static mix at the same money.

    python -m benchmarks.shared DATASET... [--seeds 5] [--budgets 1,2,4,8]

Each dataset is cut at random into 65 % history and 35 % arrivals, once a seed. The static mix is
the linear program on the models' means over the history, mean of 20 draws. The last column is RP
with a budget a model (split `weighted`), as in the paper.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import fmean

from router.evaluation import experiment, sources
from router.evaluation.budgets import SHARED
from router.evaluation.engine import Run
from router.evaluation.experiment import EvaluationData, Row, Setting
from router.evaluation.loaders import load

OURS, CONTROL = "primal-dual", "static-mix"


def over_control(data: EvaluationData, budget: float, seed: int) -> float:
    """Return our score over the static mix's under one shared budget."""
    setting = Setting(budget, SHARED, seed=seed)
    score = {row.policy: row.performance for row, _ in runs(data, setting, (OURS, CONTROL))}
    return score[OURS] / score[CONTROL]


def relative(data: EvaluationData, seed: int) -> float:
    """Return our RP, per cent, with a budget a model."""
    return next(row.relative for row, _ in runs(data, Setting(seed=seed), (OURS,)))


def runs(data: EvaluationData, setting: Setting, policies: Sequence[str]) -> list[tuple[Row, Run]]:
    """Run policies; of the references only the one that RP needs."""
    name = experiment.REFERENCE_POLICY
    assigned = {name: data.assigned(name, setting)}
    found = list(experiment.judge(data.problem(setting), setting, policies, assigned))
    return [one for one in found if one[0].policy != name]


def main() -> None:
    """Print a row a dataset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budgets", default="1,2,4,8")
    parser.add_argument("--embedder", default="wordllama")
    asked = parser.parse_args()
    budgets = [float(budget) for budget in asked.budgets.split(",")]
    print("dataset", *(f"{budget:g}x" for budget in budgets), "RP", sep="\t")
    embedder = sources.embedder_named(asked.embedder)
    for name in asked.datasets:
        data = load(name)
        vectors = sources.embed(data.prompts, embedder)
        rows = []
        for seed, split in enumerate(sources.splits(data, vectors, 0.35, range(asked.seeds))):
            cells = [over_control(split, budget, seed) for budget in budgets]
            rows.append([*cells, relative(split, seed)])
        *cells, rp = (fmean(column) for column in zip(*rows, strict=True))
        print(name, *(f"{cell:.3f}" for cell in cells), f"{rp:.1f}", sep="\t", flush=True)


if __name__ == "__main__":
    main()
