"""Outcomes nobody has seen, from those of the nearest queries whose outcome is known."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Vectors
from router.estimation.history import History
from router.estimation.index.base import without_itself
from router.estimation.index.exact import ExactIndex
from router.evaluation.estimates import neighbour_means

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
    found = ExactIndex(everything).search(vectors, min(NEIGHBOURS + 1, len(everything)))
    others = without_itself(found, own).rows
    return (
        neighbour_means(np.concatenate([history.scores, scores]), others),
        neighbour_means(np.concatenate([history.costs, costs]), others),
    )
