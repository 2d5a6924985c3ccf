"""Which queries are still to come: the history's mix, less what has already arrived of it."""

from __future__ import annotations

import numpy as np
from scipy.cluster.vq import kmeans, vq

from router.arrays import Floats, Ints

KINDS = 24
"""Kinds of queries that are told apart."""
RECENT = 500
"""Newest arrivals that stand for what the history does not know."""
LEAST_RECENT = 0.25
"""Part of the sample that they have in any case."""
DISTRUST = 3.0
"""How fast that part grows with the part of the arrivals that the history did not foresee."""


class DemandForecast:
    """A sample of the queries that share the money which is left.

    Prices are for what is to come. If the history is like the traffic, so many of each kind will
    have come when the money's time is over; what of a kind has come already will not come again.
    Where arrivals are in random order this is the history's own mix at any time; where they come in
    blocks (a task after the other, a day's rhythm), it is the blocks to come. More of a kind than
    the history foresees for the whole time says that the traffic has changed: in that measure the
    newest arrivals take the history's place.
    """

    def __init__(self, quality: Floats, cost: Floats, size: int) -> None:
        """quality, cost: float64[h, M], h ≥ 1, estimates of the history; size: of the samples."""
        self._size = size
        self._quality, self._cost = quality, cost
        self._kind = _kinds(_features(quality, cost))
        self._new_quality: Floats = np.empty((0, quality.shape[1]))
        self._new_cost: Floats = np.empty((0, quality.shape[1]))
        self._all = self._expected = 0.0
        self._centre()
        self._begin(0.0)

    def see(self, quality: Floats, cost: Floats) -> None:
        """Arrivals, or an even part of them: float64[n, M] each."""
        if not len(quality):
            return
        kind = vq(_features(quality, cost), self._centres)[0]
        self._seen += np.bincount(kind, minlength=len(self._seen))
        self._new_quality = np.concatenate([self._new_quality, quality])[-RECENT:]
        self._new_cost = np.concatenate([self._new_cost, cost])[-RECENT:]

    def coming(self, expected: float) -> tuple[Floats, Floats]:
        """(quality, cost), float64[size, M] each, of queries like the `expected` ones to come.

        When more are expected than before, another budget window has begun: counting begins anew.
        """
        if expected > self._expected:
            self._begin(expected)
        self._expected = expected
        foreseen = self._all * np.bincount(self._kind, minlength=len(self._seen)) / len(self._kind)
        stands_for = (self._all - expected) / max(float(self._seen.sum()), 1.0)
        came = stands_for * self._seen
        # Where one that was seen stands for many, a count is off by so much by chance alone.
        chance = np.sqrt(max(stands_for - 1.0, 0.0) * came)
        wrong = np.maximum(came - foreseen - chance, 0.0).sum() / max(float(came.sum()), 1.0)
        recent = min(max(LEAST_RECENT, DISTRUST * float(wrong)), 1.0)
        newest = _evenly(len(self._new_quality), round(recent * self._size))
        past = self._past(np.maximum(foreseen - came, 0.0), self._size - len(newest))
        return (
            np.concatenate([self._quality[past], self._new_quality[newest]]),
            np.concatenate([self._cost[past], self._new_cost[newest]]),
        )

    def with_columns(self, quality: Floats, cost: Floats) -> None:
        """Take these for the history's estimates, row for row, when the models have changed.

        float64[h, M] each; a model that is new has -inf for its quality.
        """
        self._quality, self._cost = quality, cost
        self._new_quality = np.empty((0, quality.shape[1]))
        self._new_cost = np.empty((0, quality.shape[1]))
        self._centre()

    @property
    def history(self) -> tuple[Floats, Floats]:
        """The history's estimates."""
        return self._quality, self._cost

    def _centre(self) -> None:
        features = _features(self._quality, self._cost)
        kinds = range(int(self._kind.max()) + 1)
        self._centres = np.stack([features[self._kind == kind].mean(axis=0) for kind in kinds])

    def _begin(self, expected: float) -> None:
        self._all = self._expected = expected
        self._seen: Floats = np.zeros(len(self._centres))

    def _past(self, to_come: Floats, count: int) -> Ints:
        """int64[count] rows of the history, so many of each kind as are to come."""
        size = np.bincount(self._kind, minlength=len(to_come))
        weight = (to_come / np.maximum(size, 1))[self._kind]
        if not weight.any():
            weight = np.ones(len(self._kind))
        place = (np.arange(count) + 0.5) / max(count, 1) * weight.sum()
        rows: Ints = np.searchsorted(weight.cumsum(), place).clip(0, len(weight) - 1)
        return rows


def _features(quality: Floats, cost: Floats) -> Floats:
    """float64[n, 2M]: what tells kinds apart. A factor in cost counts as much as it all."""
    return np.hstack(
        [np.where(np.isfinite(quality), quality, 0.0), np.log10(np.maximum(cost, 1.0))]
    )


def _kinds(features: Floats) -> Ints:
    """int64[h]: the kind of each row, 0 and up without gaps (k-means from evenly spread rows)."""
    begin = features[_evenly(len(features), min(KINDS, len(features)))]
    kinds: Ints = vq(features, kmeans(features, np.unique(begin, axis=0))[0])[0]
    return np.unique(kinds, return_inverse=True)[1].astype(np.int64)


def _evenly(count: int, wanted: int) -> Ints:
    """int64[wanted] places spread over `count`, some twice where there are fewer."""
    return np.linspace(0, max(count - 1, 0), wanted if count else 0).astype(np.int64)
