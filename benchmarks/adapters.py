"""Adapters of which K are resident: POLAR beside LRU, a static top K, and all resident.

    python -m benchmarks.adapters DATASET [--resident 4] [--loads .02,.1] [--to 100000] [--seed 0]

The models of a dataset of recorded outcomes stand for adapters on one base: queries are drawn from
it with replacement, and an answer's recorded score is what a policy learns from. Vectors are the
wordllama embeddings, projected on their first 15 principal directions, and a constant.

First table, for each price of a load: score a query, loads a query, and score less their cost. All
policies but "best fixed set" know nothing at first.
- polar: `router/policies/polar.py`.
- LRU: LinUCB over all adapters, with no price; the K used last are resident.
- static top K: all in turn for the first 1,000 queries, then LinUCB among the best K on average.
- all resident: LinUCB over all, and a load costs nothing.
- best fixed set: knows the linear scores of the whole dataset, and keeps the set that covers it.

Second table: regret of polar against "best fixed set" by the number of queries, and the exponent of
its growth, by least squares on logarithms.
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from typing import NamedTuple, Protocol

import numpy as np

from router.arrays import Floats, Ints
from router.evaluation import sources
from router.evaluation.loaders import load
from router.policies.linucb import LinUcb
from router.policies.polar import Polar, cover

DIRECTIONS = 15
TRIAL = 1000
"""Queries by which the static top K is chosen."""


class Problem(NamedTuple):
    """Queries to draw from: vectors float64[n, d] and scores float64[n, M]."""

    vectors: Floats
    scores: Floats


class Adapters(Protocol):
    """A policy of the comparison; `loads` counts what it has loaded."""

    loads: int

    def choose(self, x: Floats) -> int:
        """Return the adapter that answers."""
        ...

    def learn(self, adapter: int, x: Floats, score: float) -> None:
        """See the answer's score."""
        ...


class Lru:
    """LinUCB over all, and the adapters used last are resident."""

    def __init__(self, adapters: int, dimension: int, resident: int) -> None:
        self.loads = 0
        self._bandit = LinUcb(adapters, dimension)
        self._used = OrderedDict.fromkeys(range(resident))

    def choose(self, x: Floats) -> int:
        """Take the highest bound."""
        chosen = int(self._bandit.upper(x).argmax())
        if chosen not in self._used:
            self.loads += 1
            self._used.popitem(last=False)
        self._used[chosen] = None
        self._used.move_to_end(chosen)
        return chosen

    def learn(self, adapter: int, x: Floats, score: float) -> None:
        """See a score."""
        self._bandit.learn(adapter, x, score)


class Among:
    """LinUCB among adapters that are resident: all, or the best K of a trial."""

    def __init__(self, adapters: int, dimension: int, resident: int, trial: int = TRIAL) -> None:
        self.loads = 0
        self._bandit = LinUcb(adapters, dimension)
        self._open = np.ones(adapters, dtype=np.bool_)
        self._resident, self._trial, self._seen = resident, trial, 0
        self._sums = np.zeros(adapters)

    def choose(self, x: Floats) -> int:
        """Take the highest bound of what is resident, after the trial."""
        self._seen += 1
        if self._seen <= self._trial:
            self.loads += 1
            return self._seen % len(self._open)
        if self._seen == self._trial + 1 and self._trial:
            self._open[np.argsort(self._sums)[: len(self._open) - self._resident]] = False
            self.loads += self._resident
        return int(np.where(self._open, self._bandit.upper(x), -np.inf).argmax())

    def learn(self, adapter: int, x: Floats, score: float) -> None:
        """See a score."""
        self._sums[adapter] += score
        self._bandit.learn(adapter, x, score)


class Known:
    """The set and the choices of who knows the linear scores of the whole dataset."""

    def __init__(self, problem: Problem, resident: int) -> None:
        x, y = problem
        gram = x.T @ x + np.eye(x.shape[1])
        self.loads = resident
        self._theta = np.linalg.solve(gram, x.T @ y).T
        self._open = np.zeros(y.shape[1], dtype=np.bool_)
        self._open[cover(x @ self._theta.T, resident)] = True

    def choose(self, x: Floats) -> int:
        """Take the highest score of the set."""
        return int(np.where(self._open, self._theta @ x, -np.inf).argmax())

    def learn(self, adapter: int, x: Floats, score: float) -> None:
        """Know it already."""


def read(name: str) -> Problem:
    """Return a dataset's queries of which every model's score is known."""
    data = load(name)
    vectors = sources.embed(data.prompts, sources.embedder_named("wordllama"))
    whole = np.isfinite(data.scores).all(axis=1)
    centred = vectors[whole] - vectors[whole].mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    reduced = (centred @ directions[:DIRECTIONS].T).astype(np.float64)
    reduced /= np.linalg.norm(reduced, axis=1).mean()
    return Problem(np.hstack([reduced, np.ones((len(reduced), 1))]), data.scores[whole])


def run(policy: Adapters, problem: Problem, rows: Ints, marks: Ints) -> tuple[Floats, Floats]:
    """Return the sum of scores, and the number of loads, at each of `marks` queries."""
    scores, loads, total, at = [], [], 0.0, set(marks.tolist())
    for number, row in enumerate(rows.tolist(), 1):
        x = problem.vectors[row]
        chosen = policy.choose(x)
        score = float(problem.scores[row, chosen])
        total += score
        policy.learn(chosen, x, score)
        if number in at:
            scores.append(total)
            loads.append(float(policy.loads))
    return np.array(scores), np.array(loads)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--resident", type=int, default=4)
    parser.add_argument("--loads", default=".02,.1")
    parser.add_argument("--to", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    problem, k = read(asked.dataset), asked.resident
    count, dimension = problem.scores.shape[1], problem.vectors.shape[1]
    rows = np.random.default_rng(asked.seed).integers(len(problem.vectors), size=asked.to)
    marks = np.unique(np.geomspace(min(10_000, asked.to), asked.to, 5).astype(np.int64))
    others: dict[str, Adapters] = {
        "LRU": Lru(count, dimension, k),
        "static top K": Among(count, dimension, k),
        "all resident": Among(count, dimension, count, 0),
        "best fixed set": Known(problem, k),
    }
    ran = {name: run(policy, problem, rows, marks) for name, policy in others.items()}
    for price in map(float, asked.loads.split(",")):
        ran["polar"] = run(Polar(count, dimension, k, price), problem, rows, marks)
        for name, (scores, loads) in ran.items():
            cells = scores[-1], loads[-1], scores[-1] - price * loads[-1]
            print(price, name, *(f"{cell / asked.to:.4f}" for cell in cells), sep="\t", flush=True)
        net = {name: ran[name][0] - price * ran[name][1] for name in ("best fixed set", "polar")}
        regret = net["best fixed set"] - net["polar"]
        print("regret", *(f"{n}: {one:.0f}" for n, one in zip(marks, regret, strict=True)))
        if len(marks) > 1 and (regret > 0).all():
            print("exponent", f"{np.polyfit(np.log(marks), np.log(regret), 1)[0]:.2f}")


if __name__ == "__main__":
    main()
