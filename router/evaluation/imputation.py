"""Outcomes nobody has seen, from those of the nearest queries whose outcome is known."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints, Vectors
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex

NEIGHBOURS = 16


def impute(
    history: History, vectors: Vectors, scores: Floats, costs: Floats
) -> tuple[Floats, Floats]:
    """float64[n, M] scores and costs of n logged queries: means over the nearest known outcomes,
    of the history and of the log, each query without its own.

    vectors: float32[n, dim]; scores, costs: float64[n, M] of the log, NaN where nobody knows
    (most: a query has gone to one model at most). What no neighbour knows is the model's mean.
    """
    everything = np.concatenate([history.embeddings, vectors])
    own = len(history) + np.arange(len(vectors))
    found = ExactIndex(everything).search(vectors, min(NEIGHBOURS + 1, len(everything))).rows
    # Its own place moves to the end and is cut off; else the last neighbour goes.
    itself = found == own[:, None]
    others = np.take_along_axis(found, np.argsort(itself, axis=1, kind="stable"), axis=1)[:, :-1]
    return (
        _mean(np.concatenate([history.scores, scores]), others),
        _mean(np.concatenate([history.costs, costs]), others),
    )


def _mean(outcomes: Floats, rows: Ints) -> Floats:
    known = np.isfinite(outcomes)
    value = np.where(known, outcomes, 0.0)
    overall = value.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    count = known[rows].sum(axis=1)
    mean: Floats = np.where(count > 0, value[rows].sum(axis=1) / np.maximum(count, 1), overall)
    return mean
