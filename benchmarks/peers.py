"""Sluice beside other routers: decisions a second, and score for the same money.

    pip install 'sluice-llm[benchmarks]'
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.peers DATASET... [--budget 2] [--seeds 1]

Every router gets the same embeddings (wordllama), history and queries, cut at random into 65 % and
35 %, and one budget for all models, in what the cheapest model needs for all queries. Answers that
the budget no longer pays are lost, as with any gateway that checks after the fact. Decisions a
second are of one core's processor time, with embeddings given: one query at a time, or as many at
once as a router takes. Beside them the controls: random, greedy, the best static mix, PORT as
coded (over hnswlib, as published, for the rate), and the offline optimum. Peers that are not
installed are left out, and named.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.machine import machine
from benchmarks.peer_routers import TOGETHER, Choose, Peer, peers
from router.arrays import Ints
from router.estimation.estimator import Estimator
from router.estimation.index import AnnoyIndex, ExactIndex
from router.evaluation import engine, sources
from router.evaluation.budgets import SHARED
from router.evaluation.estimates import neighbour_means
from router.evaluation.experiment import REFERENCES, EvaluationData, Setting, judge
from router.evaluation.loaders import load
from router.evaluation.problem import Problem
from router.policies.base import Batch, Policy
from router.policies.port import Port
from router.policies.primal_dual import PrimalDual

POLICIES = ("primal-dual", "port", "static-mix", "greedy-perf", "random")
TRUTH = "offline-lp-truth"
TIMED = 1024
"""Queries of a measurement of speed."""
PAPER_K = 5
Table = dict[str, tuple[float, float]]
"""By router: score, and decisions a second, NaN where it is no router."""


def rate(choose: Choose, n: int, batch: int) -> float:
    """Decisions a second of processor time."""
    rows = np.arange(min(n, TIMED))
    choose(rows[:batch])
    began = time.process_time()
    for start in range(0, len(rows), batch):
        choose(rows[start : start + batch])
    return len(rows) / (time.process_time() - began)


def ours(data: EvaluationData, problem: Problem, folder: Path) -> Choose:
    """Sluice's decision, with neighbours from an approximate index."""
    history = data.known.history
    fitted = Estimator.fit(history, ExactIndex(history.embeddings), data.history.prompts)
    AnnoyIndex.build(history.embeddings, folder / "index.ann")
    index = AnnoyIndex(folder / "index.ann", history.embeddings.shape[1])
    estimator = Estimator(history, index, fitted.fitted)
    policy = PrimalDual(problem.catalog)
    policy.set_catalog(problem.catalog, problem.coverage)
    own = estimator.leave_one_out()
    policy.warm_start(own.quality, own.cost)
    policy.plan(problem.limits, float(len(problem)))

    def choose(rows: Ints) -> Ints:
        found = estimator.estimate(data.known.vectors[rows], None)
        return routed(policy, problem, rows, found.quality, found.cost)

    return choose


def port(data: EvaluationData, problem: Problem) -> Choose:
    """PORT's decision after its warm-up, with neighbours from hnswlib."""
    import hnswlib

    history = data.known.history
    index = hnswlib.Index(space="cosine", dim=history.embeddings.shape[1])
    index.init_index(max_elements=len(history.embeddings))
    index.add_items(history.embeddings, num_threads=1)
    index.set_num_threads(1)
    policy = Port(problem.catalog)
    policy.set_catalog(problem.catalog, problem.coverage)
    names = problem.coverage.names
    after = {"prices": dict.fromkeys(names, 0.5), "limits": dict.fromkeys(names, 1)}
    policy.restore({**after, "quality": [], "cost": [], "seen": 1, "warm_up": 1})

    def choose(rows: Ints) -> Ints:
        near = index.knn_query(data.known.vectors[rows], k=PAPER_K)[0].astype(np.int64)
        quality, cost = (neighbour_means(t, near) for t in (history.scores, history.costs))
        return routed(policy, problem, rows, quality, cost)

    return choose


def routed(
    policy: Policy, problem: Problem, rows: Ints, quality: np.ndarray, cost: np.ndarray
) -> Ints:
    """Return int64[n], a policy's models, with all the money there."""
    bound = np.ceil(cost).astype(np.int64)
    ids = [problem.ids[row] for row in rows.tolist()]
    allowed = np.ones(bound.shape, dtype=np.bool_)
    batch = Batch(ids, quality, cost, bound, allowed, coverage=problem.coverage)
    return policy.route(batch, problem.limits.copy()).model


def table(data: EvaluationData, budget: float, seed: int, say: Callable[[str], None]) -> Table:
    """Score and rate of every router on one split."""
    setting = Setting(budget, SHARED, seed=seed)
    problem = data.problem(setting)
    found: Table = {}
    assigned = {name: data.assigned(name, setting) for name in REFERENCES}
    for row, _ in judge(problem, setting, POLICIES, assigned):
        found[row.policy] = row.performance, np.nan
    everything, n = np.arange(len(problem)), len(problem)
    for peer in peers(data, float(problem.limits.sum()) / n):
        if not isinstance(peer, Peer):
            say(peer)
            continue
        score = engine.settle(problem, peer.choose(everything)).performance
        found[peer.name] = score, rate(peer.choose, n, peer.batch)
    with tempfile.TemporaryDirectory() as folder:
        choose = ours(data, problem, Path(folder))
        score = found["primal-dual"][0]
        found["primal-dual"] = score, rate(choose, n, TOGETHER)
        found["primal-dual, one at a time"] = score, rate(choose, n, 1)
    try:
        found["port"] = found["port"][0], rate(port(data, problem), n, 1)
    except ImportError as error:
        say(f"rate of port: left out, {error}")
    return found


def main() -> None:
    """Print a table a dataset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--budget", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    print(machine())
    embedder = sources.embedder_named("wordllama")
    for name in asked.datasets:
        data = load(name)
        vectors = sources.embed(data.prompts, embedder)
        tables = [
            table(split, asked.budget, seed, print)
            for seed, split in enumerate(sources.splits(data, vectors, 0.35, range(asked.seeds)))
        ]
        mean = {
            router: (
                fmean(one[router][0] for one in tables),
                fmean(one[router][1] for one in tables),
            )
            for router in tables[0]
        }
        print(f"\n{Path(name).name}, one budget of {asked.budget:g} x the cheapest")
        print(f"{'router':<28} {'score':>8} {'over static mix':>16} {'decisions/s':>12}")
        for router, (score, speed) in sorted(mean.items(), key=lambda each: -each[1][0]):
            shown = "" if np.isnan(speed) else f"{speed:,.0f}"
            over = score / mean["static-mix"][0]
            print(f"{router:<28} {score:>8.1f} {over:>16.3f} {shown:>12}", flush=True)


if __name__ == "__main__":
    main()
