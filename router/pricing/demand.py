"""Forecasts which queries are still to come: the history, less what has already arrived of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.vq import kmeans, vq

from router.arrays import Floats, Ints
from router.models.catalog import ModelCatalog

KINDS = 24
"""Kinds of queries that are told apart."""
RECENT = 500
"""Newest arrivals that stand for what the history does not know."""
LEAST_RECENT = 0.25
"""Part of the sample that they have in any case."""
DISTRUST = 3.0
"""How fast that part grows with the part of the arrivals that the history did not foresee."""


class DemandForecast:
    """Samples queries like those that will share the remaining budget.

    Prices are for future arrivals. The history, clustered into kinds (k-means on estimates), says
    how many queries of each kind a budget window brings; those that have already arrived are not
    expected again. If arrivals are in random order, the forecast is the history's own mix at any
    time; if they come in blocks (one task after the other, a daily rhythm), it is the blocks to
    come. If more of a kind arrive than the history foresees for the whole window, the traffic has
    changed, and the newest arrivals replace the history to that degree.

    Attributes:
        newest: Estimates of the newest arrivals, float64[n, M] each as `observe` takes them.
    """

    def __init__(self, quality: Floats, cost: Floats, size: int, *others: Floats) -> None:
        """Cluster a history.

        Args:
            quality: float64[h, M], h ≥ 1, the history's estimated scores.
            cost: float64[h, M], its estimated costs, nano-units.
            size: Rows of a sample.
            others: float64[h, M] each, what it draws in other units.
        """
        self._size = size
        self._tables = [quality, cost, *others]
        self._kind = _kinds(_features(quality, cost))
        self.newest = [table[:0] for table in self._tables]
        self._total = self._expected = 0.0
        self._update_centres()
        self._restart(0.0)

    def observe(self, quality: Floats, cost: Floats, *others: Floats) -> None:
        """Count arrivals, or an even part of them, by kind.

        Args:
            quality: float64[n, M], their estimated scores.
            cost: float64[n, M], their estimated costs, nano-units.
            others: float64[n, M] each, what they draw in other units.
        """
        if not len(quality):
            return
        kind = vq(_features(quality, cost), self._centres)[0]
        self._seen += np.bincount(kind, minlength=len(self._seen))
        arrived = [quality, cost, *others]
        self.newest = [
            np.concatenate([known, new])[-RECENT:]
            for known, new in zip(self.newest, arrived, strict=True)
        ]

    def sample(self, expected: float) -> list[Floats]:
        """Sample queries like those to come.

        Args:
            expected: Arrivals until the window ends. If it is larger than at the call before,
                another window has begun, and counting restarts.

        Returns:
            Estimated scores, costs (nano-units) and what is drawn in other units, float64[size, M]
            each.
        """
        if expected > self._expected:
            self._restart(expected)
        self._expected = expected
        foreseen = (
            self._total * np.bincount(self._kind, minlength=len(self._seen)) / len(self._kind)
        )
        stands_for = (self._total - expected) / max(float(self._seen.sum()), 1.0)
        came = stands_for * self._seen
        # Where one that was seen stands for many, a count is off by so much by chance alone.
        chance = np.sqrt(max(stands_for - 1.0, 0.0) * came)
        wrong = np.maximum(came - foreseen - chance, 0.0).sum() / max(float(came.sum()), 1.0)
        recent = min(max(LEAST_RECENT, DISTRUST * float(wrong)), 1.0)
        newest = _spread(len(self.newest[0]), round(recent * self._size))
        past = self._history_rows(np.maximum(foreseen - came, 0.0), self._size - len(newest))
        return [
            np.concatenate([table[past], new[newest]])
            for table, new in zip(self._tables, self.newest, strict=True)
        ]

    def set_catalog(self, catalog: ModelCatalog, before: ModelCatalog) -> None:
        """Follow a change of models; newcomers have no history, and recent arrivals are dropped.

        Args:
            catalog: The models from now on.
            before: The models until now.
        """
        quality, *amounts = self._tables
        self._tables = [
            catalog.align(quality, before, -np.inf),
            *(catalog.align(table, before, 0.0) for table in amounts),
        ]
        self.newest = [table[:0] for table in self._tables]
        self._update_centres()

    def _update_centres(self) -> None:
        features = _features(*self._tables[:2])
        kinds = range(int(self._kind.max()) + 1)
        self._centres = np.stack([features[self._kind == kind].mean(axis=0) for kind in kinds])

    def _restart(self, expected: float) -> None:
        self._total = self._expected = expected
        self._seen: Floats = np.zeros(len(self._centres))

    def _history_rows(self, to_come: Floats, count: int) -> Ints:
        """Choose int64[count] rows of the history, each kind in proportion to what is to come."""
        size = np.bincount(self._kind, minlength=len(to_come))
        weight = (to_come / np.maximum(size, 1))[self._kind]
        if not weight.any():
            weight = np.ones(len(self._kind))
        place = (np.arange(count) + 0.5) / max(count, 1) * weight.sum()
        rows: Ints = np.searchsorted(weight.cumsum(), place).clip(0, len(weight) - 1)
        return rows


def least_worth(worth: Floats, part: float) -> Ints:
    """Choose the queries of a sample that wait: which those are is not known here.

    Args:
        worth: float64[n], what each query would bring, net of its price.
        part: Of the queries that wait, from 0 to 1.

    Returns:
        int64[m] row numbers, m ≥ 1, least worth first.
    """
    return np.argsort(worth, kind="stable")[: max(round(part * len(worth)), 1)]


def mixed(tables: Sequence[Floats], others: Sequence[Floats], part: float) -> list[Floats]:
    """Return tables of as many rows, of which a part are rows of the others, evenly chosen."""
    size = len(tables[0])
    count = round(size * part)
    kept, added = _spread(size, size - count), _spread(len(others[0]), count)
    return [
        np.concatenate([table[kept], other[added]])
        for table, other in zip(tables, others, strict=True)
    ]


def _features(quality: Floats, cost: Floats) -> Floats:
    """Return float64[n, 2M], scores and log10 of costs: a factor 10 in cost is as far as 0 to 1."""
    return np.hstack(
        [np.where(np.isfinite(quality), quality, 0.0), np.log10(np.maximum(cost, 1.0))]
    )


def _kinds(features: Floats) -> Ints:
    """Return int64[h], each row's kind, 0 and up without gaps (k-means from evenly spread rows)."""
    begin = features[_spread(len(features), min(KINDS, len(features)))]
    kinds: Ints = vq(features, kmeans(features, np.unique(begin, axis=0))[0])[0]
    return np.unique(kinds, return_inverse=True)[1].astype(np.int64)


def _spread(count: int, wanted: int) -> Ints:
    """Return int64[wanted] places spread over `count`, some twice where there are fewer."""
    return np.linspace(0, max(count - 1, 0), wanted if count else 0).astype(np.int64)
