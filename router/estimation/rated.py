"""Estimates for the policy `eagle`: Elo ratings in the place of expected scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from router.arrays import Floats, Ints, Vectors
from router.estimation.estimator import Estimates, Estimator
from router.estimation.history import History
from router.estimation.index.base import nothing
from router.policies.elo import EloSettings, chances, global_ratings, local_ratings


class RatedEstimator:
    """Elo ratings as quality; costs are those of the estimator that it extends.

    A query's quality for a model is how often the model would beat one that has never played, by
    P·global + (1 − P)·local (`router/policies/elo.py`): the local rating starts from the global one
    and plays the rounds of the N nearest queries of the history. An instance is not changed after
    construction; several threads may use it at once.
    """

    def __init__(
        self,
        base: Estimator,
        models: Sequence[str],
        settings: EloSettings,
        overall: Floats | None = None,
    ) -> None:
        """Rate the models by a history.

        Args:
            base: Estimates costs; its history is what is rated.
            models: Names of the history's M models.
            settings: P, N and K.
            overall: float64[M], global ratings where they are known; None for the history's.
        """
        self.base = base
        self._models = tuple(models)
        self._settings = settings
        self._overall = (
            global_ratings(base.history.scores, settings.k) if overall is None else overall
        )
        self._rows = {id: row for row, id in enumerate(base.history.ids)}

    @property
    def history(self) -> History:
        """The outcomes that it rests on."""
        return self.base.history

    @property
    def ratings(self) -> dict[str, float]:
        """The global ratings by model."""
        return dict(zip(self._models, self._overall.tolist(), strict=True))

    def following(self, snapshot: Mapping[str, Any]) -> RatedEstimator:
        """Return an estimator with the global ratings of a snapshot of `eagle`.

        Models that the snapshot does not name keep theirs.
        """
        own = self.ratings
        told = {name: float(snapshot["ratings"].get(name, own[name])) for name in self._models}
        if told == own:
            return self
        return RatedEstimator(
            self.base, self._models, self._settings, np.array(list(told.values()))
        )

    def estimate(self, vectors: Vectors, texts: Sequence[str] | None = None) -> Estimates:
        """Estimate queries.

        Args:
            vectors: float32[n, dim], unit norm.
            texts: n prompts; None where they are not known.
        """
        found = self.base.index.search(vectors, self._settings.neighbours)
        return replace(
            self.base.estimate(vectors, texts),
            quality=self._quality(found.rows),
            neighbours=found.rows,
            similarity=found.similarity,
        )

    def usual(self, count: int) -> Estimates:
        """Return the same estimates for `count` queries of which nothing is known: global ratings,
        and costs as of the estimator that it extends."""
        neighbours, similarity = nothing(count, self._settings.neighbours)
        return replace(
            self.base.usual(count),
            quality=self._quality(neighbours),
            neighbours=neighbours,
            similarity=similarity,
        )

    def results(self, model: str, score: float, neighbours: Sequence[str]) -> dict[str, float]:
        """Return how a scored answer does against each other model.

        Nobody knows their answers to the same query: those to its nearest queries of the history
        stand for them. Against each the result is the mean of 1 for a lower score, 0.5 for the same
        and 0 for a higher one, so that equals draw on average.

        Args:
            model: That has answered.
            score: Of the answer, 0 to 1.
            neighbours: Ids of the nearest queries; those that the history lacks do not count.
        """
        rows = [self._rows[id] for id in neighbours if id in self._rows]
        others = self.history.scores[rows]
        known = np.isfinite(others)
        won = np.where(known, (1.0 + np.sign(score - others)) / 2.0, 0.0).sum(axis=0)
        count = known.sum(axis=0)
        return {
            name: float(won[i] / count[i])
            for i, name in enumerate(self._models)
            if count[i] and name != model
        }

    def _quality(self, neighbours: Ints) -> Floats:
        settings, overall = self._settings, self._overall
        local = local_ratings(overall, self.history.scores, neighbours, settings.k)
        return chances(overall, local, settings.part)
