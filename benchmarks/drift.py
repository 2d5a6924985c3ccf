"""What changes half-way cost: score over that of the offline optimum, and who notices how soon.

    python -m benchmarks.drift DATASET... [--seeds 3] [--budget 2]

65 % of the data is history, the rest arrives under one shared budget. After half of the arrivals
  worse   the model that earns most keeps a third of its score;
  dearer  it costs four times as much, and nobody says so;
  new     a model joins of which only its price is known (it earns most of all);
  kind    queries of a kind arrive that the history lacks (the most frequent task).
`steady` changes nothing. "told" is `primal-dual` whose estimates know of the change when it comes:
what cannot be had without outcomes. Outcomes come after their batch of 32.

Columns: score over that of the offline optimum on true outcomes, of all arrivals and of those after
the change; arrivals after the change until the part of the last 100 queries that goes to the model
has moved half the way from before to where "told" takes it (- where it never does).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.drift_policies import ParetoBandit
from router.arrays import Floats, Ints, Vectors
from router.evaluation import sources
from router.evaluation.budgets import SHARED
from router.evaluation.datasets import Dataset
from router.evaluation.estimates import OfflineEstimates
from router.evaluation.experiment import EvaluationData, Setting, make
from router.evaluation.loaders import load
from router.evaluation.offline import assign_on_truth
from router.evaluation.problem import Problem
from router.policies.base import NONE, Batch, Policy
from router.policies.primal_dual import PrimalDual

BATCH, TRAILING, FEATURES = 32, 100, 16
LEFT, DEARER = 1 / 3, 4.0
CASES = ("steady", "worse", "dearer", "new", "kind")


@dataclass(frozen=True)
class Case:
    """A problem with a change in it.

    Attributes:
        problem: Arrivals with their outcomes, those after the change as they are by then.
        estimates: What routers believe.
        told: What they would, if they knew.
        model: The number of the model that changes; NONE where none does.
        context: float64[n, d] features of the arrivals.
        past: float64[h, d] features and float64[h, M] scores of the history.
    """

    problem: Problem
    estimates: OfflineEstimates
    told: OfflineEstimates
    model: int
    context: Floats
    past: tuple[Floats, Floats]


def run(
    policy: Policy, case: Case, believed: OfflineEstimates, later: OfflineEstimates | None = None
) -> tuple[Floats, Ints]:
    """Return float64[n] scores and int64[n] models, NONE where none served.

    Args:
        policy: A fresh one.
        case: What it is run on.
        believed: What routers believe of queries, and of the history.
        later: Of the history they believe this after half of the arrivals; None for no change.
    """
    problem = case.problem
    n, left = len(problem), problem.limits.astype(np.int64).copy()
    got, model = np.zeros(n), np.full(n, NONE, dtype=np.int64)
    policy.set_catalog(problem.catalog, problem.coverage)
    policy.warm_start(believed.warm_quality, believed.warm_cost)
    policy.plan(left, float(n))
    size = 1 if isinstance(policy, ParetoBandit) else BATCH
    for start in range(0, n, size):
        rows = np.arange(start, min(start + size, n))
        if later is not None and rows[-1] >= n // 2:
            policy.warm_start(later.warm_quality, later.warm_cost)
            policy.outdate()
            later = None
        cost = believed.cost[rows]
        batch = Batch(
            [str(row) for row in rows],
            believed.quality[rows],
            cost,
            np.maximum(np.ceil(cost), 0).astype(np.int64),
            problem.known[rows],
            problem.coverage,
        )
        chosen = policy.route(batch, left).model
        for row, one in zip(rows, chosen, strict=True):
            if one != NONE and problem.costs[row, one] <= left[0]:
                left -= problem.costs[row, one]
                got[row], model[row] = problem.scores[row, one], one
        _tell(policy, batch, problem, got[rows], model[rows])
        policy.observe(batch.quality, batch.cost)
        policy.plan(left, float(n - rows[-1] - 1))
    return got, model


def _tell(policy: Policy, batch: Batch, problem: Problem, got: Floats, model: Ints) -> None:
    """Tell a policy what came of a batch: float64[n] scores, and int64[n] models."""
    served = np.flatnonzero(model != NONE)
    taken, score = model[served], got[served]
    paid = problem.costs[[int(batch.ids[row]) for row in served.tolist()], taken].astype(np.float64)
    if isinstance(policy, ParetoBandit):
        policy.update(batch, served, taken, score, paid)
    policy.see_outcomes(
        [problem.catalog.names[one] for one in taken],
        score - batch.quality[served, taken],
        paid / np.maximum(batch.cost[served, taken], 1.0),
    )


def cases(data: EvaluationData, budget: float, seed: int) -> Iterator[tuple[str, Case]]:
    """Yield every change on one split."""
    steady = _case(data, data, budget)
    problem, half = steady.problem, len(steady.problem) // 2
    yield "steady", steady
    _, model = run(PrimalDual(problem.catalog), steady, steady.estimates)
    earned = [problem.scores[model == one, one].sum() for one in range(len(problem.catalog))]
    best = int(np.argmax(earned))
    scores, quality = problem.scores.copy(), steady.estimates.quality.copy()
    scores[half:, best] *= LEFT
    quality[half:, best] *= LEFT
    warm = steady.estimates.warm_quality.copy()
    warm[:, best] *= LEFT
    told = replace(steady.estimates, quality=quality, warm_quality=warm)
    worse = replace(problem, scores=scores)
    yield "worse", replace(steady, problem=worse, told=told, model=best)
    costs, cost = problem.costs.copy(), steady.estimates.cost.copy()
    costs[half:, best] = np.ceil(costs[half:, best] * DEARER)
    cost[half:, best] *= DEARER
    warm = steady.estimates.warm_cost.copy()
    warm[:, best] *= DEARER
    told = replace(steady.estimates, cost=cost, warm_cost=warm)
    yield "dearer", replace(steady, problem=replace(problem, costs=costs), told=told, model=best)
    known, quality = problem.known.copy(), steady.estimates.quality.copy()
    known[:half, best] = False
    others = np.delete(np.arange(quality.shape[1]), best)
    quality[:, best] = quality[:, others].mean(axis=1)
    warm = steady.estimates.warm_quality.copy()
    warm[:, best] = warm[:, others].mean(axis=1)
    prior = replace(steady.estimates, quality=quality, warm_quality=warm)
    past = steady.past[1].copy()
    past[:, best] = np.nan
    new = replace(steady, problem=replace(problem, known=known), estimates=prior, model=best)
    yield "new", replace(new, past=(steady.past[0], past))
    yield "kind", _new_kind(data, budget, seed)


def _new_kind(data: EvaluationData, budget: float, seed: int) -> Case:
    """Return the case in which the most frequent task of the arrivals comes in the second half."""
    tasks = np.array(data.queries.tasks)
    names, counts = np.unique(tasks, return_counts=True)
    fits = counts <= len(tasks) // 2
    task = names[fits][counts[fits].argmax()]
    random = np.random.default_rng(seed)
    usual = random.permutation(np.flatnonzero(tasks != task))
    half = len(tasks) // 2
    rest = random.permutation(np.concatenate([usual[half:], np.flatnonzero(tasks == task)]))
    order = np.concatenate([usual[:half], rest])
    kept = np.flatnonzero(np.array(data.history.tasks) != task)
    blind = _part(data, data.history.take(kept), kept, order)
    told = _part(data, data.history, np.arange(len(data.history)), order)
    return _case(blind, told, budget)


def _part(data: EvaluationData, history: Dataset, rows: Ints, order: Ints) -> EvaluationData:
    vectors = data.known.history.embeddings[rows], data.known.vectors[order]
    return EvaluationData(history, data.queries.take(order), *vectors, data.k)


def _case(data: EvaluationData, told: EvaluationData, budget: float) -> Case:
    problem = data.problem(Setting(budget, SHARED))
    past, context = _features(data.known.history.embeddings, data.known.vectors)
    return Case(
        problem,
        data.estimates("best").careful(),
        told.estimates("best").careful(),
        NONE,
        context,
        (past, np.asarray(data.history.scores)),
    )


def _features(past: Vectors, arrivals: Vectors) -> tuple[Floats, Floats]:
    """Return the first principal components of embeddings, with a constant: [h, d] and [n, d]."""
    mean = past.mean(axis=0)
    _, _, axes = np.linalg.svd(past - mean, full_matrices=False)

    def reduced(table: Vectors) -> Floats:
        one = np.ones((len(table), 1))
        return np.hstack([one, (table - mean) @ axes[:FEATURES].T], dtype=np.float64)

    return reduced(past), reduced(arrivals)


def policies(case: Case, seed: int) -> dict[str, tuple[Policy, OfflineEstimates]]:
    """Return every policy, and what it believes."""
    problem, believed = case.problem, case.estimates
    bandit = ParetoBandit(problem.catalog, case.context, problem.limits[0] / len(problem))
    bandit.begin(*case.past)
    bandit.start_price(believed.warm_quality, believed.warm_cost)
    means = replace(
        believed,
        quality=np.tile(believed.warm_quality.mean(axis=0), (len(problem), 1)),
        cost=np.tile(believed.warm_cost.mean(axis=0), (len(problem), 1)),
    )
    return {
        "random": (make("random", problem.catalog, seed), believed),
        "greedy": (make("greedy-perf", problem.catalog, seed), believed),
        "static mix": (make("static-mix", problem.catalog, seed), means),
        "pareto-bandit": (bandit, believed),
        "primal-dual": (PrimalDual(problem.catalog), believed),
        "primal-dual, corrected": (PrimalDual(problem.catalog, corrected=True), believed),
        "primal-dual, told": (PrimalDual(problem.catalog), case.told),
    }


def noticed(model: Ints, told: Ints, changed: int) -> float:
    """Return the arrivals after the change until half of it is followed; NaN for never."""
    served, half = np.flatnonzero(model != NONE), len(model) // 2
    goal = told[half + TRAILING :]
    after = float((goal[goal != NONE] == changed).mean())
    taken = (model[served] == changed).astype(np.float64)
    share = np.convolve(taken, np.ones(TRAILING) / TRAILING, "valid")
    at = served[TRAILING - 1 :]
    if not (at < half).any() or not (at >= half + TRAILING).any():
        return np.nan
    before = float(share[at < half][-1])
    if abs(after - before) < 0.1:  # nothing to follow
        return np.nan
    moved = (share - before) * np.sign(after - before) >= abs(after - before) / 2
    found = at[moved & (at >= half)]
    return float(found[0] - half) if len(found) else np.nan


def figures(case: Case, seed: int) -> dict[str, list[float]]:
    """Return the columns of every policy."""
    problem, half = case.problem, len(case.problem) // 2
    best = assign_on_truth(problem)
    ideal = np.where(best == NONE, 0.0, problem.scores[np.arange(len(best)), best])
    runs = {
        name: run(one, case, seen, seen if seen is case.told else None)
        for name, (one, seen) in policies(case, seed).items()
    }
    told = runs["primal-dual, told"][1]
    return {
        name: [
            got.sum() / ideal.sum(),
            got[half:].sum() / ideal[half:].sum(),
            np.nan if case.model == NONE else noticed(model, told, case.model),
        ]
        for name, (got, model) in runs.items()
    }


def main() -> None:
    """Print a row a dataset, change and policy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=2.0)
    asked = parser.parse_args()
    embedder = sources.embedder_named("wordllama")
    for name in asked.datasets:
        data = load(name)
        vectors = sources.embed(data.prompts, embedder)
        found: dict[tuple[str, str], list[list[float]]] = {}
        for seed, split in enumerate(sources.splits(data, vectors, 0.35, range(asked.seeds))):
            for change, case in cases(split, asked.budget, seed):
                for policy, cells in figures(case, seed).items():
                    found.setdefault((change, policy), []).append(cells)
        print(_page(Path(name).name.split(".")[0], found), flush=True)


def _page(dataset: str, found: Mapping[tuple[str, str], list[list[float]]]) -> str:
    lines = [f"### {dataset}", "", "| change | policy | score | after it | noticed |"]
    lines.append("|---|---|---:|---:|---:|")
    for (change, policy), rows in found.items():
        table = np.array(rows)
        score, after = table[:, 0].mean(), table[:, 1].mean()
        known = table[:, 2][np.isfinite(table[:, 2])]
        soon = f"{np.median(known):.0f} ({len(known)}/{len(table)})" if len(known) else "-"
        lines.append(f"| {change} | {policy} | {score:.3f} | {after:.3f} | {soon} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
