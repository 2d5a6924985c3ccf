"""What each model's answer to a query will probably be worth, and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from router.arrays import Floats, Ints, Vectors
from router.features import TextFeatures
from router.history import History
from router.index.base import NeighbourIndex, Neighbours
from router.kernel_ridge import KernelRidge

CANDIDATES = (5, 8, 12, 16, 24, 32)
"""Numbers of neighbours to choose from by leave-one-out."""
SAMPLE = 2000
"""Rows of the history on which choices are made by leave-one-out."""
VECTOR_WEIGHT = 0.5
"""The weight of an embedding, where a text's words weigh 1."""
LEAST = 1e-6
"""No answer is sure to be worth nothing: where money is plenty, it is tried."""
UPPER = 0.99
"""The part of the history's answers that cost at most their `upper_cost`, where nobody says."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """quality: float64[n, M] expected score; cost: float64[n, M] expected cost, nano-units;
    upper_cost: float64[n, M] nano-units, what a part `upper` of the answers does not exceed;
    neighbours: int64[n, k] rows of the history, NO_ROW where there were fewer; similarity:
    float32[n, k] their cosines.
    """

    quality: Floats
    cost: Floats
    upper_cost: Floats
    neighbours: Ints
    similarity: Vectors


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learned of a history; every choice by leave-one-out.

    k: neighbours; share: their part in the quality, the rest is the ridge's; ridge: [2M] scores
    and logarithms of costs; mean_factor: float64[M], from exp of an estimated logarithm to the
    mean; features: of texts, None where there were
    none; usual: float32[F], the features of a query whose text is not known; rows: int64[r], an
    even sample of the history; others: float32[r, 2M], what the ridge says of each of them without
    its own outcome.
    """

    k: int
    share: float
    ridge: KernelRidge
    mean_factor: Floats
    features: TextFeatures | None
    usual: Vectors
    rows: Ints
    others: Vectors


class Estimator:
    """Kernel ridge on embedding and text, blended with means over the k nearest neighbours.

    An outcome that nobody has seen (NaN) is left out of the means, and the ridge fills it with
    what the others suggest. Reads only; several threads may use it at once.
    """

    def __init__(
        self, history: History, index: NeighbourIndex, fitted: Fitted, upper: float = UPPER
    ) -> None:
        """`index` finds rows of `history`, numbered alike; upper: of 0 to 1, see `Estimates`."""
        self.history = history
        self.index = index
        self.fitted = fitted
        models = history.scores.shape[1]
        self._upper_factor = _upper_factor(
            history.costs[fitted.rows], fitted.others[:, models:], upper
        )
        self._scores = _Known(history.scores)

    @property
    def k(self) -> int:
        """How many neighbours are looked at."""
        return self.fitted.k

    @classmethod
    def fit(
        cls, history: History, index: NeighbourIndex, texts: Sequence[str] | None = None
    ) -> Self:
        """Learn from a history of at least two rows, and their texts where they are kept."""
        if len(history) < 2:
            raise ValueError(f"a history of {len(history)}: estimates need at least 2 outcomes")
        features, points = None, history.embeddings * np.float32(VECTOR_WEIGHT)
        usual = np.zeros(0, dtype=np.float32)
        if texts is not None:
            features, seen = TextFeatures.fit(texts)
            points, usual = np.hstack([points, seen]), seen.mean(axis=0)
        log_cost = np.log(np.maximum(history.costs, 1.0))
        ridge, others = KernelRidge.fit(points, history.scores, log_cost)
        models = history.scores.shape[1]
        mean_factor = _mean_factor(history.costs, others[:, models:])
        rows = sample_rows(len(history))
        apart: Vectors = others[rows].astype(np.float32)
        k, share = _neighbours_part(history, index, rows, apart[:, :models])
        return cls(
            history,
            index,
            Fitted(k, share, ridge, mean_factor, features, usual, rows, apart),
        )

    def estimate(self, vectors: Vectors, texts: Sequence[str] | None = None) -> Estimates:
        """For float32[n, dim] unit vectors of queries, and their texts where they are known."""
        points = vectors * np.float32(VECTOR_WEIGHT)
        if self.fitted.features is not None:
            if texts is None:
                seen = np.broadcast_to(self.fitted.usual, (len(vectors), len(self.fitted.usual)))
            else:
                seen = self.fitted.features(texts)
            points = np.hstack([points, seen])
        return self._blend(self.fitted.ridge(points), self.index.search(vectors, self.k))

    def leave_one_out(self, rows: Ints | None = None) -> Estimates:
        """For the even sample of the history, or those of int64[n] `rows` of the history that are
        in it: each without its own outcome."""
        places = np.arange(len(self.fitted.rows))
        if rows is not None:
            places = np.flatnonzero(np.isin(self.fitted.rows, rows))
        rows = self.fitted.rows[places]
        return self._blend(
            self.fitted.others[places], _others(self.history, self.index, rows, self.k)
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was learned, to be saved beside the history."""
        arrays: dict[str, NDArray[Any]] = {
            "k": np.array(self.fitted.k),
            "share": np.array(self.fitted.share),
            "mean_factor": self.fitted.mean_factor,
            "usual": self.fitted.usual,
            "rows": self.fitted.rows,
            "others": self.fitted.others,
        }
        arrays |= {f"ridge_{name}": value for name, value in self.fitted.ridge.arrays().items()}
        if self.fitted.features is not None:
            features = self.fitted.features.arrays()
            arrays |= {f"text_{name}": value for name, value in features.items()}
        return arrays

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        history: History,
        index: NeighbourIndex,
        upper: float = UPPER,
    ) -> Self:
        """The estimator that `arrays()` came from. Raises ValueError where they do not fit."""
        try:
            fitted = Fitted(
                k=int(arrays["k"]),
                share=float(arrays["share"]),
                ridge=KernelRidge.from_arrays(_under(arrays, "ridge_")),
                mean_factor=arrays["mean_factor"],
                features=TextFeatures.from_arrays(_under(arrays, "text_"))
                if "text_words" in arrays
                else None,
                usual=arrays["usual"],
                rows=arrays["rows"],
                others=arrays["others"],
            )
        except KeyError as error:
            raise ValueError(f"the estimator's file lacks {error}; build the index again") from None
        models = history.scores.shape[1]
        if (
            fitted.others.shape != (len(fitted.rows), 2 * models)
            or not (fitted.rows < len(history)).all()
        ):
            raise ValueError(
                f"the estimator's file is not of a history of {len(history)} rows and {models} "
                "models; build the index again"
            )
        return cls(history, index, fitted, upper)

    def _blend(self, ridge: Floats | Vectors, found: Neighbours) -> Estimates:
        fitted = self.fitted
        models = len(fitted.mean_factor)
        quality = ridge[:, :models].astype(np.float64)
        if fitted.share > 0:
            near, known = self._scores.mean(found.rows)
            quality += np.where(known, fitted.share * (near - quality), 0.0)
        typical = np.exp(np.minimum(ridge[:, models:].astype(np.float64), 42.0))
        cost = typical * fitted.mean_factor
        return Estimates(
            quality=np.clip(quality, LEAST, 1.0),
            cost=cost,
            upper_cost=np.maximum(typical * self._upper_factor, cost),
            neighbours=found.rows,
            similarity=found.similarity,
        )


class _Known:
    """Scores, float64[H, M], with NaN where nobody knows."""

    def __init__(self, values: Floats) -> None:
        known = np.isfinite(values)
        self._models = values.shape[1]
        self._whole = bool(known.all())
        nobody = np.zeros((1, self._models))  # what NO_ROW (-1) finds
        value = np.concatenate([np.where(known, values, 0.0), nobody])
        self._rows = np.hstack([value, np.concatenate([known, nobody])]).astype(np.float32)

    def mean(self, rows: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        """float64[n, M] means over int64[n, k] rows, and where at least one outcome was known."""
        total = np.zeros((len(rows), 2 * self._models), dtype=np.float32)
        for place in rows.T:
            total += self._rows[place]
        count = total[:, self._models :]
        mean = total[:, : self._models].astype(np.float64) / np.maximum(count, 1.0)
        return mean, count > 0


def sample_rows(count: int, most: int = SAMPLE) -> Ints:
    """int64[min(count, most)] rows spread evenly over a history."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def _others(history: History, index: NeighbourIndex, rows: Ints, k: int) -> Neighbours:
    """The k nearest of each of int64[n] rows of the history, itself left out."""
    found = index.search(history.embeddings[rows], k + 1)
    own = found.rows == rows[:, None]
    # A row hidden behind more than k duplicates gives up its last neighbour instead.
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), k)
    return Neighbours(found.rows[~own].reshape(shape), found.similarity[~own].reshape(shape))


def _neighbours_part(
    history: History, index: NeighbourIndex, rows: Ints, ridge: Vectors
) -> tuple[int, float]:
    """(k, share) of least squared error of share·neighbours + (1 − share)·ridge on the sample;
    the best share for a k is that of least squares, in closed form."""
    found = _others(history, index, rows, max(CANDIDATES))
    truth, scores = history.scores[rows], _Known(history.scores)
    best = (np.inf, CANDIDATES[0], 0.0)
    for k in CANDIDATES:
        near, known = scores.mean(found.rows[:, :k])
        known &= np.isfinite(truth)
        step, missed = (near - ridge)[known], (truth - ridge)[known]
        share = float(np.clip(step @ missed / max(float(step @ step), 1e-12), 0.0, 1.0))
        error = float(((missed - share * step) ** 2).sum())
        if error < best[0]:
            best = (error, k, share)
    return best[1], best[2]


def _mean_factor(costs: Floats, log_cost: Floats) -> Floats:
    """float64[M]: what to multiply exp of the leave-one-out logarithms by, so that their sum is
    that of the costs (Duan's smearing)."""
    factor = np.ones(costs.shape[1])
    for model in range(costs.shape[1]):
        known = np.isfinite(costs[:, model])
        if known.any():
            truth, typical = costs[known, model], np.exp(log_cost[known, model])
            factor[model] = max(float(truth.sum()), 1.0) / float(typical.sum())
    return factor


def _upper_factor(costs: Floats, log_cost: Floats | Vectors, upper: float) -> Floats:
    """float64[M]: what to multiply them by, so that a part `upper` of the costs is not above
    (split conformal quantile)."""
    factor = np.ones(costs.shape[1])
    for model in range(costs.shape[1]):
        known = np.isfinite(costs[:, model])
        if known.any():
            typical = np.exp(log_cost[known, model].astype(np.float64))
            factor[model] = np.quantile(costs[known, model] / typical, upper, method="higher")
    return factor
