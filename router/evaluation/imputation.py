"""Imputes unknown outcomes from those of the nearest queries whose outcome is known."""

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
    """Estimate the scores and costs of logged queries, each without its own outcome.

    They are means over the nearest known outcomes, of the history and of the log; where no
    neighbour's is known, the model's mean.

    Args:
        history: Outcomes beside the log's.
        vectors: float32[n, dim], the logged queries' embeddings.
        scores: float64[n, M] of the log, NaN where unknown (most: a query has gone to one model at
            the most).
        costs: float64[n, M] nano-units, likewise.

    Returns:
        Scores and costs, float64[n, M] each.
    """
    everything = np.concatenate([history.embeddings, vectors])
    own = len(history) + np.arange(len(vectors))
    found = ExactIndex(everything).search(vectors, min(NEIGHBOURS + 1, len(everything)))
    others = without_itself(found, own).rows
    return (
        neighbour_means(np.concatenate([history.scores, scores]), others),
        neighbour_means(np.concatenate([history.costs, costs]), others),
    )
