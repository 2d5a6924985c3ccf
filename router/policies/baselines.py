"""The baselines that name one model for each query and have no second choice.

They choose by estimated score, by remaining budget, or at random (paper, arXiv 2509.02718);
`batchsplit` and `static-mix` have files of their own.
"""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Batch, Decisions, Policy
from router.policies.draws import uniform


class GreedyPerf(Policy):
    """The highest estimated score, whatever it costs: argmax_i d̂_ij.

    Estimates are means of k = 5 neighbours over the approximate index.
    """

    name = "greedy-perf"

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Take the model of highest estimated score, or lose the query."""
        return reserve(best_allowed(batch.quality, batch), batch, free)


class KnnPerf(GreedyPerf):
    """`greedy-perf` on exact neighbours."""

    name = "knn-perf"
    estimator = "exact"


class PredictorPerf(GreedyPerf):
    """`greedy-perf` on predicted scores (stands for the paper's Roberta-Perf).

    The paper fine-tunes RoBERTa on the history's texts, which takes a GPU. Here the predictor is a
    ridge regression on the same embeddings that the neighbours use
    (`router/evaluation/predictor.py`): trained as well, but blind to what embeddings miss.
    """

    name = "predictor-perf"
    estimator = "predictor"


class GreedyCost(Policy):
    """The model with the most budget left, after the reservations of all queries before.

    The paper keeps its own account of *estimated* costs; here the engine's account is used, with
    the estimates of this batch on top, so that true costs correct it from batch to batch.
    """

    name = "greedy-cost"

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Take the richest model, or lose the query."""
        left = free.copy()
        limits, bounds = batch.limits, batch.bounds
        model = np.full(len(batch.ids), NONE, dtype=np.int64)
        reason = []
        for row, allowed in enumerate(batch.allowed):
            if not allowed.any():
                reason.append("not_allowed")
                continue
            room = limits.take(slice(row, row + 1)).room(left, 0, 1)[0]
            choice = int(np.where(allowed, room, -1).argmax())
            drawn = limits.drawn(np.array([row]), np.array([choice]), bounds)[:, 0]
            if (drawn > left).any():
                reason.append("no_budget")
                continue
            left -= drawn
            model[row] = choice
            reason.append("best")
        return Decisions(model, reason, np.ones(len(batch.ids)))


class KnnCost(GreedyCost):
    """`greedy-cost` on exact neighbours."""

    name = "knn-cost"
    estimator = "exact"


class PredictorCost(GreedyCost):
    """`greedy-cost` on predicted costs (stands for the paper's Roberta-Cost)."""

    name = "predictor-cost"
    estimator = "predictor"


class Random(Policy):
    """Each query to any model that it may go to, all equally likely.

    Blind to estimates and budgets: a model out of budget still draws its part of the queries,
    which are then lost, as in the paper.
    """

    name = "random"

    def __init__(self, catalog: ModelCatalog, seed: int = 0) -> None:
        super().__init__(catalog)
        self.seed = seed

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Draw by seed and query id."""
        choices = batch.allowed.sum(axis=1)
        # The draw-th allowed model of each row is where the running count first exceeds draw.
        draw = np.floor(uniform(batch.ids, self.seed, "random") * choices)
        running = batch.allowed.cumsum(axis=1)
        chosen = np.where(choices > 0, (running <= draw[:, None]).sum(axis=1), NONE)
        return reserve(chosen, batch, free, 1.0 / np.maximum(choices, 1))


def best_allowed(value: Floats, batch: Batch) -> Ints:
    """Choose the allowed model of highest value for each query, the first of equals.

    Args:
        value: float64[n, M] or float64[M].
        batch: The queries.

    Returns:
        int64[n], NONE where no model is allowed.
    """
    if batch.allowed.size == 0:
        return np.full(len(batch.ids), NONE, dtype=np.int64)
    best = np.where(batch.allowed, value, -np.inf).argmax(axis=1)
    return np.where(batch.allowed.any(axis=1), best, NONE)


def reserve(chosen: Ints, batch: Batch, free: Ints, propensity: Floats | None = None) -> Decisions:
    """Give each query its one model, in order of arrival, while the money lasts.

    A reservation that does not fit leaves the query without a model; a smaller one after it may
    still fit.

    Args:
        chosen: int64[n], NONE for a query that no model may take.
        batch: The queries.
        free: int64[R], what may still be reserved of each limit; not modified.
        propensity: float64[n] of the choice; 1 where left out.
    """
    left = free.copy()
    drawn = batch.drawn(chosen)
    model = np.full(len(chosen), NONE, dtype=np.int64)
    reason = []
    for row, choice in enumerate(chosen):
        if choice == NONE:
            reason.append("not_allowed")
        elif (drawn[:, row] > left).any():
            reason.append("no_budget")
        else:
            left -= drawn[:, row]
            model[row] = choice
            reason.append("best")
    return Decisions(model, reason, np.ones(len(chosen)) if propensity is None else propensity)
