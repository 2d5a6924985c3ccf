"""Estimates of what each model's answer to a query will be worth, and cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from router.arrays import Floats, Ints, Vectors, even_rows
from router.estimation.features import TextFeatures, TextVectors
from router.estimation.fitted import Fitted
from router.estimation.history import History
from router.estimation.index.base import NeighbourIndex, Neighbours, nothing, without_itself
from router.estimation.kernel_ridge import KernelRidge
from router.estimation.trust import LEAST, choose_factor, departing

Kernels = tuple[tuple[float, ...], ...]

CANDIDATES = (5, 8, 12, 16, 24, 32)
"""Numbers of neighbours to choose from by leave-one-out."""
FITTED = 50_000
"""Rows, evenly spread over the history, on which the ridge is fitted. More teach it nothing that
its landmarks could hold; neighbours are looked for among all rows."""
SAMPLE = 2000
"""Of these rows, those on which choices are made by leave-one-out."""
BLOCK = 4096
"""Further rows that are predicted at once."""
CLOSE = 5
"""A neighbour counts as its cosine to the power 2^CLOSE: 1.0, 0.37 and 0.03 at 1, 0.97 and 0.9."""
DOUBTS = (0.3, 1.0, 3.0, 10.0)
"""How many neighbours at cosine 1 the ridge is worth; one is chosen by leave-one-out."""
KERNELS: Kernels = ((0.25, 1.0, 1.0), (0.0, 3.0, 0.0), (0.0, 0.0, 10.0), (1.0, 0.0, 0.0))
"""Widths for embedding, words and shape of a text."""
EMBEDDING_KERNELS: Kernels = ((0.1,), (0.3,), (1.0,))
"""Widths where there are no texts."""
UPPER = 0.99
"""The part of the history's answers that cost at most their `upper_cost`, where nobody says."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimates of n queries for M models.

    Attributes:
        quality: float64[n, M], the expected score.
        cost: float64[n, M], the expected cost, nano-units.
        upper_cost: float64[n, M] nano-units, not exceeded by the part `upper` of the answers.
        neighbours: int64[n, k] rows of the history, NO_ROW where there were fewer.
        similarity: float32[n, k], their cosines.
    """

    quality: Floats
    cost: Floats
    upper_cost: Floats
    neighbours: Ints
    similarity: Vectors

    def replaced(self, rows: Ints, some: Estimates) -> Estimates:
        """Return these estimates with those of int64[m] rows replaced by the m of another."""
        columns = []
        for mine, theirs in zip(self._columns(), some._columns(), strict=True):
            column = mine.copy()
            column[rows] = theirs
            columns.append(column)
        return Estimates(*columns)

    def rows(self, rows: slice | Ints) -> Estimates:
        """Return the estimates of some queries: those of a span, or of int64[m] numbers."""
        return Estimates(*(column[rows] for column in self._columns()))

    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.quality, self.cost, self.upper_cost, self.neighbours, self.similarity


class Estimator:
    """Kernel ridge on embedding and text, corrected by its residuals on the k nearest neighbours.

    An outcome that nobody has seen (NaN) corrects nothing, and the ridge fills it with what the
    others suggest. An instance is not changed after construction; several threads may use it at
    once.
    """

    def __init__(
        self,
        history: History,
        index: NeighbourIndex,
        fitted: Fitted,
        upper: float = UPPER,
        careful: bool = False,
    ) -> None:
        """Put a fitted estimator together.

        Args:
            history: The outcomes that it was fitted on.
            index: Finds rows of `history`, numbered alike.
            fitted: What was learned.
            upper: The part of answers, 0 to 1, that cost at most `Estimates.upper_cost`.
            careful: Whether differences between models are shrunk by `Fitted.trust`: where models
                share limits.
        """
        self._trust = fitted.trust if careful else 1.0
        self.history = history
        self.index = index
        self.fitted = fitted
        models = history.scores.shape[1]
        self._upper_factor = _upper_factor(
            history.costs[fitted.rows], fitted.others[:, models:], upper
        )
        self._missed = _Residuals(fitted.missed)

    @property
    def k(self) -> int:
        """Number of neighbours looked at."""
        return self.fitted.k

    @property
    def base(self) -> Self:
        """The estimator itself, which extends no other."""
        return self

    def following(self, snapshot: Mapping[str, Any]) -> Self:
        """Return the estimator itself: it rests on the history alone, on nothing that a policy's
        snapshot tells."""
        return self

    @classmethod
    def fit(
        cls,
        history: History,
        index: NeighbourIndex,
        texts: Sequence[str] | None = None,
        progress: Callable[[int], None] = lambda rows: None,
    ) -> Self:
        """Learn from a history.

        Args:
            history: At least two rows.
            index: Finds rows of `history`, numbered alike.
            texts: The history's H prompts where they are kept.
            progress: Called after each step with the number of rows that it took in.

        Raises:
            ValueError: The history has fewer than two rows.
        """
        if len(history) < 2:
            raise ValueError(f"a history of {len(history)}: estimates need at least 2 outcomes")
        part = even_rows(len(history), FITTED)
        scores, costs = history.scores[part], history.costs[part]
        features, kernels = None, EMBEDDING_KERNELS
        seen = usual = TextVectors(*np.zeros((2, 1, 0), dtype=np.float32))
        blocks = [history.embeddings[part]]
        if texts is not None:
            features, seen = TextFeatures.fit([texts[row] for row in part.tolist()])
            usual = TextVectors(*(block.mean(axis=0, keepdims=True) for block in seen))
            blocks, kernels = [*blocks, *seen], KERNELS
        ridge, others = KernelRidge.fit(blocks, kernels, scores, np.log(np.maximum(costs, 1.0)))
        progress(len(part))
        models = scores.shape[1]
        mean_factor = _mean_factor(costs, others[:, models:])
        missed: Vectors = np.empty(history.scores.shape, dtype=np.float32)
        missed[part] = scores - others[:, :models]
        for rows in _further(len(history), part):
            asked = None if texts is None else [texts[row] for row in rows.tolist()]
            found = ridge(_blocks(history.embeddings[rows], asked, features, usual))
            missed[rows] = history.scores[rows] - found[:, :models]
            progress(len(rows))
        places = even_rows(len(part), SAMPLE)
        rows, apart = part[places], others[places].astype(np.float32)
        k, doubt = _choose_neighbours(history, index, rows, missed)
        means = np.zeros(models)
        fitted = Fitted(k, doubt, missed, ridge, mean_factor, features, usual, rows, apart, means)
        whole = cls(history, index, fitted).leave_one_out()
        means = whole.quality.mean(axis=0)
        outcomes = history.scores[rows], history.costs[rows]
        trust = choose_factor(whole.quality, whole.cost, means, *outcomes)
        return cls(history, index, replace(fitted, means=means, trust=trust))

    def estimate(self, vectors: Vectors, texts: Sequence[str] | None = None) -> Estimates:
        """Estimate queries.

        Args:
            vectors: float32[n, dim], unit norm.
            texts: n prompts; None where they are not known.
        """
        blocks = _blocks(vectors, texts, self.fitted.features, self.fitted.usual)
        return self._blend(self.fitted.ridge(blocks), self.index.search(vectors, self.k))

    def usual(self, count: int) -> Estimates:
        """Return the same estimates for `count` queries of which nothing is known: the history's
        means, its highest costs, and no neighbours."""
        scores, costs = self.history.scores, self.history.costs
        neighbours, similarity = nothing(count, self.k)
        return Estimates(
            quality=np.tile(np.nanmean(scores, axis=0), (count, 1)),
            cost=np.tile(np.nanmean(costs, axis=0), (count, 1)),
            upper_cost=np.tile(np.nanmax(costs, axis=0), (count, 1)),
            neighbours=neighbours,
            similarity=similarity,
        )

    def leave_one_out(self, rows: Ints | None = None) -> Estimates:
        """Estimate queries of the history, each without its own outcome.

        Args:
            rows: int64[n] rows; those that are not in the even sample of the history are left out.
                None for all of the sample.
        """
        places = np.arange(len(self.fitted.rows))
        if rows is not None:
            places = np.flatnonzero(np.isin(self.fitted.rows, rows))
        rows = self.fitted.rows[places]
        return self._blend(
            self.fitted.others[places], _others(self.history, self.index, rows, self.k)
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all learned arrays by name, to be saved beside the history."""
        return self.fitted.arrays()

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        history: History,
        index: NeighbourIndex,
        upper: float = UPPER,
        careful: bool = False,
    ) -> Self:
        """Rebuild the estimator that `arrays()` came from.

        Raises:
            ValueError: An array is missing, or they are not of this history.
        """
        fitted = Fitted.from_arrays(arrays, history)
        return cls(history, index, fitted, upper, careful)

    def _blend(self, ridge: Floats | Vectors, found: Neighbours) -> Estimates:
        fitted = self.fitted
        models = len(fitted.mean_factor)
        quality = ridge[:, :models].astype(np.float64)
        quality += self._missed.mean(found, fitted.doubt)
        typical = np.exp(np.minimum(ridge[:, models:].astype(np.float64), 42.0))
        cost = typical * fitted.mean_factor
        quality = np.clip(quality, LEAST, 1.0)
        if self._trust != 1.0:
            quality = departing(quality, fitted.means, self._trust)
        return Estimates(
            quality=quality,
            cost=cost,
            upper_cost=np.maximum(typical * self._upper_factor, cost),
            neighbours=found.rows,
            similarity=found.similarity,
        )


class _Residuals:
    """Residuals of the ridge, float32[H, M], with NaN where unknown."""

    def __init__(self, missed: Vectors) -> None:
        known = np.isfinite(missed)
        self._models = missed.shape[1]
        nobody = np.zeros((1, 2 * self._models), dtype=np.float32)  # what NO_ROW (-1) finds
        rows = np.hstack([np.where(known, missed, 0.0), known]).astype(np.float32)
        self._rows = np.concatenate([rows, nobody])

    def sums(self, found: Neighbours) -> Vectors:
        """Sum residuals over k neighbours, weighted by similarity.

        Returns:
            float32[n, 2M]: the weighted sums, and beside them the sums of the weights.
        """
        weight = found.similarity
        for _ in range(CLOSE):
            weight = weight * weight
        total = np.zeros((len(found.rows), 2 * self._models), dtype=np.float32)
        for place, counts in zip(found.rows.T, weight.T, strict=True):
            total += counts[:, None] * self._rows[place]
        return total

    def mean(self, found: Neighbours, doubt: float) -> Vectors:
        """Return float32[n, M], weighted means with `doubt` neighbours of residual 0 added."""
        total = self.sums(found)
        mean: Vectors = total[:, : self._models] / (total[:, self._models :] + np.float32(doubt))
        return mean


def sample_rows(count: int) -> Ints:
    """Return int64[min(count, SAMPLE)] rows, an even part of those that the ridge is fitted on."""
    part = even_rows(count, FITTED)
    return part[even_rows(len(part), SAMPLE)]


def _further(count: int, part: Ints) -> Iterator[Ints]:
    """Yield the rows of a history beyond a part, in blocks."""
    rows = np.setdiff1d(np.arange(count), part, assume_unique=True)
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


def _blocks(
    vectors: Vectors, texts: Sequence[str] | None, features: TextFeatures | None, usual: TextVectors
) -> list[Vectors]:
    """Return the ridge's blocks of coordinates of n queries; usual ones of texts that lack."""
    if features is None:
        return [vectors]
    if texts is not None:
        return [vectors, *features(texts)]
    return [vectors, *(block.repeat(len(vectors), axis=0) for block in usual)]


def _others(history: History, index: NeighbourIndex, rows: Ints, k: int) -> Neighbours:
    """Return the k nearest of each of int64[n] rows of the history, itself left out."""
    return without_itself(index.search(history.embeddings[rows], k + 1), rows)


def _choose_neighbours(
    history: History, index: NeighbourIndex, rows: Ints, missed: Vectors
) -> tuple[int, float]:
    """Choose (k, doubt) of least squared error on the sample; doubt is inf if neighbours harm."""
    found = _others(history, index, rows, max(CANDIDATES))
    truth = missed[rows].astype(np.float64)
    known = np.isfinite(truth)
    near = _Residuals(missed)
    best = (float((truth[known] ** 2).sum()), CANDIDATES[0], np.inf)
    for k in CANDIDATES:
        nearest = Neighbours(found.rows[:, :k], found.similarity[:, :k])
        for doubt in DOUBTS:
            left = truth - near.mean(nearest, doubt)
            error = float((left[known] ** 2).sum())
            if error < best[0]:
                best = (error, k, doubt)
    return best[1], best[2]


def _mean_factor(costs: Floats, log_cost: Floats) -> Floats:
    """Return float64[M] factors that turn exp of estimated logarithms into means.

    They make the sum of leave-one-out predictions that of the costs (Duan's smearing, 1983); 0 for
    a model whose answers cost nothing.
    """
    factor = np.ones(costs.shape[1])
    for model in range(costs.shape[1]):
        known = np.isfinite(costs[:, model])
        if known.any():
            truth, typical = costs[known, model], np.exp(log_cost[known, model])
            factor[model] = float(truth.sum()) / float(typical.sum())
    return factor


def _upper_factor(costs: Floats, log_cost: Floats | Vectors, upper: float) -> Floats:
    """Return float64[M] factors that turn exp of estimated logarithms into upper costs.

    The part `upper` of the costs is not above (split conformal quantile, Vovk et al. 2005).
    """
    factor = np.ones(costs.shape[1])
    for model in range(costs.shape[1]):
        known = np.isfinite(costs[:, model])
        if known.any():
            typical = np.exp(log_cost[known, model].astype(np.float64))
            factor[model] = np.quantile(costs[known, model] / typical, upper, method="higher")
    return factor
