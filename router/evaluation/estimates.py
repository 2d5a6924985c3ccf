"""Offline estimates, by the kind that a policy asks for (`Policy.estimator`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from router.arrays import Floats, Ints, Vectors
from router.estimation.estimator import Estimator, sample_rows
from router.estimation.history import History
from router.estimation.index.annoy import AnnoyIndex
from router.estimation.index.base import NO_ROW, NeighbourIndex, without_itself
from router.estimation.index.exact import ExactIndex
from router.estimation.trust import departing
from router.evaluation.predictor import Predictor
from router.policies import elo

TREES, SEARCH_K = 50, 5_000
"""Annoy's settings for the paper's policies: recall above 0.95, near the paper's HNSW."""
PAPER_K = 5


@dataclass(frozen=True, slots=True)
class OfflineEstimates:
    """What is known before any outcome of the queries is.

    Attributes:
        quality: float64[n, M], the queries' estimated scores.
        cost: float64[n, M], their estimated costs, nano-units.
        warm_quality: float64[h, M], estimates for the history or an even sample of it, each row
            without its own outcome.
        warm_cost: float64[h, M], likewise of costs.
        means: float64[M], the models' mean scores; None for kinds that are never `careful`.
        trust: What differences between models beyond them are multiplied by where models share
            limits.
    """

    quality: Floats
    cost: Floats
    warm_quality: Floats
    warm_cost: Floats
    means: Floats | None = None
    trust: float = 1.0

    def take(self, rows: Ints) -> OfflineEstimates:
        """Return the estimates of the queries at int64[m] `rows`, in that order."""
        return replace(self, quality=self.quality[rows], cost=self.cost[rows])

    def careful(self) -> OfflineEstimates:
        """Return the estimates for limits that models share (`router/estimation/trust.py`)."""
        if self.means is None or self.trust == 1.0:
            return self
        return replace(
            self,
            quality=departing(self.quality, self.means, self.trust),
            warm_quality=departing(self.warm_quality, self.means, self.trust),
        )


@dataclass(frozen=True, slots=True)
class EstimationInputs:
    """What estimates are made from.

    Attributes:
        history: Outcomes to learn from.
        history_texts: Their H prompts.
        vectors: float32[n, dim], the queries' embeddings.
        texts: n prompts.
        k: Number of neighbours, for kinds that do not choose it themselves.
        elo: Settings of ratings, for `elo`.
    """

    history: History
    history_texts: Sequence[str]
    vectors: Vectors
    texts: Sequence[str]
    k: int
    elo: elo.EloSettings = elo.PUBLISHED


def exact(known: EstimationInputs) -> OfflineEstimates:
    """Estimate by means over the k nearest of all the history, by cosine."""
    return _neighbour_means(known, ExactIndex(known.history.embeddings))


def paper(known: EstimationInputs) -> OfflineEstimates:
    """Estimate by means over the k nearest of an approximate index (HNSW in the paper)."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index.ann"
        vectors = known.history.embeddings
        return _neighbour_means(
            known, AnnoyIndex.build(vectors, path, trees=TREES, search_k=SEARCH_K)
        )


def _neighbour_means(known: EstimationInputs, index: NeighbourIndex) -> OfflineEstimates:
    history = known.history
    own = index.search(history.embeddings, known.k + 1)
    others = without_itself(own, np.arange(len(history))).rows
    found = index.search(known.vectors, known.k).rows
    return OfflineEstimates(
        neighbour_means(history.scores, found),
        neighbour_means(history.costs, found),
        neighbour_means(history.scores, others),
        neighbour_means(history.costs, others),
    )


def neighbour_means(outcomes: Floats, neighbours: Ints) -> Floats:
    """Average known outcomes over neighbours.

    Args:
        outcomes: float64[H, M], NaN where nobody knows.
        neighbours: int64[n, k] rows of them, NO_ROW where there were fewer.

    Returns:
        float64[n, M]; where no neighbour's outcome is known, the model's mean over all rows.
    """
    known = np.isfinite(outcomes)
    value = np.where(known, outcomes, 0.0)
    overall = value.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    count = np.zeros((len(neighbours), outcomes.shape[1]))
    total = np.zeros_like(count)
    for place in neighbours.T:
        found = (place != NO_ROW)[:, None]
        count += known[place] & found
        total += value[place] * found
    return np.where(count > 0, total / np.maximum(count, 1), overall)


def means(known: EstimationInputs) -> OfflineEstimates:
    """Estimate by each model's mean over the history, whatever the query."""
    history = known.history
    arrivals, past = (np.full((n, 1), NO_ROW) for n in (len(known.vectors), len(history)))
    return OfflineEstimates(
        neighbour_means(history.scores, arrivals),
        neighbour_means(history.costs, arrivals),
        neighbour_means(history.scores, past),
        neighbour_means(history.costs, past),
    )


def predicted(known: EstimationInputs) -> OfflineEstimates:
    """Estimate by a ridge regression trained on the history's embeddings."""
    history, vectors = known.history, known.vectors
    quality = Predictor(history.embeddings, history.scores)
    # Costs span decades: in nano-units a few dear answers would rule the fit.
    cost = Predictor(history.embeddings, np.log(np.maximum(history.costs, 1.0)))
    return OfflineEstimates(
        np.clip(quality.predict(vectors), 0.0, 1.0),
        np.exp(cost.predict(vectors) + cost.half_variance),
        np.clip(quality.without_itself, 0.0, 1.0),
        np.exp(cost.without_itself + cost.half_variance),
    )


def elo_ratings(known: EstimationInputs) -> OfflineEstimates:
    """Estimate by Elo ratings, global and of the nearest queries; costs by means over these.

    The global rating of a row of the history includes its own round, one among H.
    """
    history, settings = known.history, known.elo
    index = ExactIndex(history.embeddings)
    nearest = min(settings.neighbours, max(len(history) - 1, 1))
    own = index.search(history.embeddings, nearest + 1)
    others = without_itself(own, np.arange(len(history))).rows
    found = index.search(known.vectors, nearest).rows
    overall = elo.global_ratings(history.scores, settings.k)
    quality, warm = (
        elo.chances(
            overall,
            elo.local_ratings(overall, history.scores, rows, settings.k),
            settings.part,
        )
        for rows in (found, others)
    )
    cost, warm_cost = (neighbour_means(history.costs, rows) for rows in (found, others))
    return OfflineEstimates(quality, cost, warm, warm_cost)


def best(known: EstimationInputs) -> OfflineEstimates:
    """Estimate by Sluice's own estimator, on exact neighbours."""
    index = ExactIndex(known.history.embeddings)
    estimator = Estimator.fit(known.history, index, known.history_texts)
    found = estimator.estimate(known.vectors, known.texts)
    warm = estimator.leave_one_out(sample_rows(len(known.history)))
    fitted = estimator.fitted
    return OfflineEstimates(
        found.quality, found.cost, warm.quality, warm.cost, fitted.means, fitted.trust
    )


KINDS: dict[str, Callable[[EstimationInputs], OfflineEstimates]] = {
    "paper": paper,
    "exact": exact,
    "means": means,
    "predictor": predicted,
    "elo": elo_ratings,
    "best": best,
}
