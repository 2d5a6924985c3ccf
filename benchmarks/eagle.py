"""Eagle's own experiment: area under score against budget, and how fast feedback is learned.

    pip install scikit-learn
    python -m benchmarks.eagle DATASET... [--seeds 2] [--history 2000] [--queries 1000]

Each dataset is cut at random into history and arrivals, once a seed. For each of 20 budgets of a
query, at equal ratios from the mean cost of the cheapest to that of the dearest model, a router
takes the model that it rates highest of those whose expected cost fits, and the cheapest where
none does; expected costs are means over the 20 nearest queries of the history, the same for all.
The area is that of the true mean score against the logarithm of the budget, between the first and
the last budget (so it is a mean score). Routers: Eagle (P = 0.5, N = 20, K = 32), with P = 0 and
1 (local or global ratings alone) and with K = 4; regressions of scores on embeddings by
scikit-learn (kNN with 20 neighbours, SVM: linear, for one model after another, MLP: one layer of
100); Sluice's own estimator, each model's mean (the best order without a look at the query), and
the true scores.

The last columns: milliseconds to learn one more feedback, by an update of Eagle's ratings and by
fitting each baseline anew on the whole history (of kNN: its search structure).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.svm import LinearSVR

from router.arrays import Floats
from router.estimation.index.exact import ExactIndex
from router.evaluation import sources
from router.evaluation.estimates import KINDS, EstimationInputs, neighbour_means
from router.evaluation.experiment import EvaluationData
from router.evaluation.loaders import load
from router.policies import elo

BUDGETS = 20
BASELINES: dict[str, Callable[[], Any]] = {
    "kNN": lambda: KNeighborsRegressor(elo.PUBLISHED.neighbours),
    "SVM": lambda: MultiOutputRegressor(LinearSVR(C=1.0, max_iter=2000, random_state=0)),
    "MLP": lambda: MLPRegressor(hidden_layer_sizes=(100,), early_stopping=True, random_state=0),
}
CALM = 4.0
"""A K that lets single games move ratings less than the published one."""
UPDATES = 200
"""Feedback of which the mean time of an update is taken."""


def routers(known: EstimationInputs) -> Iterable[tuple[str, Floats, float]]:
    """Yield of each router its name, float64[n, M] ratings, and the seconds of its fit."""
    history = known.history
    found = ExactIndex(history.embeddings).search(known.vectors, elo.PUBLISHED.neighbours).rows
    began = time.perf_counter()
    overall = elo.global_ratings(history.scores, elo.PUBLISHED.k)
    fitted = time.perf_counter() - began
    local = elo.local_ratings(overall, history.scores, found, elo.PUBLISHED.k)
    for name, part in (("eagle", elo.PUBLISHED.part), ("local Elo", 0.0), ("global Elo", 1.0)):
        yield name, elo.chances(overall, local, part), fitted
    calm = elo.global_ratings(history.scores, CALM)
    yield (
        "eagle, K = 4",
        elo.chances(calm, elo.local_ratings(calm, history.scores, found, CALM), elo.PUBLISHED.part),
        fitted,
    )
    scores = np.where(np.isnan(history.scores), np.nanmean(history.scores, axis=0), history.scores)
    for name, make in BASELINES.items():
        began = time.perf_counter()
        model = make().fit(history.embeddings, scores)
        yield name, model.predict(known.vectors), time.perf_counter() - began
    yield "sluice", KINDS["best"](known).quality, np.nan
    yield "means", np.tile(np.nanmean(history.scores, axis=0), (len(known.vectors), 1)), np.nan


def area(rating: Floats, cost: Floats, scores: Floats, budgets: Floats) -> float:
    """Return the mean true score over budgets at equal ratios.

    Args:
        rating: float64[n, M]; the highest that a budget pays is taken.
        cost: float64[n, M], expected.
        scores: float64[n, M], true.
        budgets: float64[b], for one query.
    """
    rows = np.arange(len(scores))
    reached = []
    for budget in budgets:
        best = np.where(cost <= budget, rating, -np.inf).argmax(axis=1)
        best = np.where((cost <= budget).any(axis=1), best, cost.argmin(axis=1))
        reached.append(float(np.nanmean(scores[rows, best])))
    return float(np.trapezoid(reached) / (len(budgets) - 1))


def update_seconds(history: Floats) -> float:
    """Return the mean time of learning one feedback: the games of a round.

    Args:
        history: float64[H, M] scores.
    """
    ratings = elo.global_ratings(history[:1], elo.PUBLISHED.k)[None, :]
    began = time.perf_counter()
    for row in history[:UPDATES]:
        elo.play(ratings, row[None, :], elo.PUBLISHED.k)
    return (time.perf_counter() - began) / min(UPDATES, len(history))


def figures(data: EvaluationData) -> dict[str, tuple[float, float]]:
    """Return area and seconds of learning one more feedback, by router."""
    known, history = data.known, data.known.history
    found = ExactIndex(history.embeddings).search(known.vectors, elo.PUBLISHED.neighbours).rows
    cost = neighbour_means(history.costs, found)
    usual = np.nanmean(history.costs, axis=0)
    budgets = np.geomspace(max(usual.min(), 1.0), usual.max(), BUDGETS)
    table = {}
    for name, rating, fitted in routers(known):
        rated = name.startswith(("eagle", "local", "global"))
        seconds = update_seconds(history.scores) if rated else fitted
        table[name] = area(rating, cost, data.queries.scores, budgets), seconds
    truth = np.where(np.isnan(data.queries.scores), -1.0, data.queries.scores)
    table["truth"] = area(truth, cost, data.queries.scores, budgets), np.nan
    return table


def main() -> None:
    """Print a row a dataset and router."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--history", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--embedder", default="wordllama")
    asked = parser.parse_args()
    print("dataset", "router", "area", "of eagle", "ms a feedback", "over eagle", sep="\t")
    embedder = sources.embedder_named(asked.embedder)
    for name in asked.datasets:
        data = load(name)
        most = asked.history + asked.queries
        if len(data) > most:
            data = data.split(most / len(data), 0)[1]
        vectors = sources.embed(data.prompts, embedder)
        part = asked.queries / most
        tables = [figures(one) for one in sources.splits(data, vectors, part, range(asked.seeds))]
        mean = {
            router: np.mean([table[router] for table in tables], axis=0) for router in tables[0]
        }
        for router, (reached, seconds) in mean.items():
            against = reached / mean["eagle"][0], seconds / mean["eagle"][1]
            cells = (
                f"{reached:.3f}",
                f"{against[0]:.3f}",
                f"{1e3 * seconds:.3f}",
                f"{against[1]:.0f}",
            )
            print(Path(name).name.partition(".")[0], router, *cells, sep="\t", flush=True)


if __name__ == "__main__":
    main()
