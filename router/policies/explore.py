"""Exploration on top of a policy, so that models it does not choose stay known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Batch, Decisions, Policy
from router.policies.draws import uniform
from router.policies.floors import Floor
from router.pricing.coverage import Coverage


class Explore(Policy):
    """Sends a fixed share of queries to random models; the wrapped policy decides the rest.

    With probability `share` a query goes to a model i drawn evenly from the m that it may go to and
    whose budgets have room, if a second draw of probability a_i lets it. Draws depend on seed and
    query id. The propensity of a decision is a_i·share/m + (1 − share·ā)·[it is the policy's own],
    with ā the mean of a over the m models; it is exact for policies that do not draw themselves.
    The name, prices and snapshots are the wrapped policy's.

    Without a bound in money a_i is 1. With `money` it is min(1, money/(1 − money)·c/(share·c_i)),
    with c the estimated cost of the policy's own choice (0 where it is none) and c_i that of the
    model drawn: so draws cost at most that part of all money, as expected by the estimates, and
    where the bound binds each model is explored for the same amount.

    With newcomers it draws from those alone, and the policy decides as if they were not there; a
    query that allows nothing else is always drawn.
    """

    def __init__(
        self,
        policy: Policy,
        share: float,
        seed: int = 0,
        catalog: ModelCatalog | None = None,
        money: float = 1.0,
    ) -> None:
        """Wrap a policy.

        Args:
            policy: Decides the queries that are not drawn.
            share: Probability of a draw, 0 to 1.
            seed: Of the draws.
            catalog: The policy's own models and, after them, newcomers that it does not know; None
                for no newcomers.
            money: Part of the money that draws may use, 0 to 1; 1 for no bound.

        Raises:
            ValueError: `share` or `money` is not from 0 to 1.
        """
        if not (0 <= share <= 1 and 0 <= money <= 1):
            raise ValueError(f"a share of exploration is from 0 to 1, not {share} or {money}")
        super().__init__(catalog or policy.catalog)
        self.name = policy.name  # type: ignore[misc]  # of the class elsewhere, here of what it wraps
        self.estimator = policy.estimator  # type: ignore[misc]  # likewise
        self.resumes = policy.resumes  # type: ignore[misc]  # likewise
        self.policy = policy
        self.share = share
        self._money = money
        self.seed = seed
        self._known = len(policy.catalog)
        self._first = self._known if catalog is not None else 0
        self._purpose = "newcomer" if catalog is not None else "explore"

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Let the policy decide up to each query that explores, that one included; then redraw it.

        So a query finds the money that is left by all before it, explored or not.
        """
        n = len(batch.ids)
        if n == 0:
            return self._own(batch, free)
        new_only = np.asarray(
            batch.allowed.any(axis=1) & ~batch.allowed[:, : self._known].any(axis=1)
        )
        share = np.where(new_only, 1.0, self.share)
        explores = uniform(batch.ids, self.seed, self._purpose) < share
        draws = uniform(batch.ids, self.seed, f"{self._purpose}d")
        lets = uniform(batch.ids, self.seed, f"{self._purpose}m")
        model = np.full(n, NONE, dtype=np.int64)
        propensity = np.ones(n)
        reason: list[str] = []
        preferred: list[Ints] | None = []
        version, left, start = 0, free.copy(), 0
        for end in [*(np.flatnonzero(explores) + 1).tolist(), n]:
            if end == start:
                continue
            part = batch.take(slice(start, end))
            own = self._own(part, left)
            version = own.version
            preferred = (
                None if own.preferred is None or preferred is None else [*preferred, own.preferred]
            )
            chosen, words = own.model.copy(), list(own.reason)
            drawn_before = part.drawn(chosen)
            open_to = _open_to(part, drawn_before, left)[:, self._first :]
            count = open_to.sum(axis=1)
            let = self._let(part, own.model)
            if explores[end - 1] and count[-1]:
                drawn = np.flatnonzero(open_to[-1])[int(draws[end - 1] * count[-1])]
                if lets[end - 1] < let[-1, drawn]:
                    chosen[-1], words[-1] = self._first + drawn, "explore"
            elif new_only[end - 1]:
                words[-1] = "no_budget"
            part_share = share[start:end]
            model[start:end] = chosen
            propensity[start:end] = self._propensity(chosen, own, part_share, open_to, let)
            reason += words
            left = left - part.drawn(chosen).sum(axis=1)
            start = end
        known = np.concatenate(preferred) if preferred else None
        return Decisions(model, reason, propensity, version, known)

    def _let(self, batch: Batch, own: Ints) -> Floats:
        """Return float64[n, m], the probability that a draw of each model counts.

        own: int64[n], the policy's own choices.
        """
        cost = batch.cost[:, self._first :]
        if self._money == 1.0 or not self.share:
            return np.ones(cost.shape)
        chosen = np.where(own == NONE, 0.0, batch.cost[np.arange(len(own)), own])
        most = self._money / (1.0 - self._money) * chosen[:, None] / self.share
        return np.where(cost > 0, np.minimum(1.0, most / np.maximum(cost, 1e-9)), 1.0)

    def _propensity(
        self, chosen: Ints, own: Decisions, share: Floats, open_to: Bools, let: Floats
    ) -> Floats:
        """Return float64[n], the probabilities of what was chosen."""
        count = open_to.sum(axis=1)
        mean = np.where(open_to, let, 0.0).sum(axis=1) / np.maximum(count, 1)
        is_drawn = (chosen != NONE) & (chosen >= self._first)
        drawn = let[np.arange(len(let)), np.where(is_drawn, chosen - self._first, 0)]
        even = np.where(is_drawn, drawn * share / np.maximum(count, 1), 0.0)
        stays = np.where(chosen == own.model, own.propensity, 0.0)
        return np.where(count > 0, even + (1 - share * mean) * stays, own.propensity)

    def _own(self, batch: Batch, free: Ints) -> Decisions:
        """Return the policy's decisions on the models that it knows."""
        if self._known == len(self.catalog):
            return self.policy.route(batch, free)
        limits = self._known if batch.coverage is None else len(free)
        return self.policy.route(_first(batch, limits, self._known), free[:limits])

    def warm_start(self, quality: Floats, cost: Floats, *others: Floats) -> None:
        """As the policy does."""
        self.policy.warm_start(quality, cost, *others)

    def observe(
        self,
        quality: Floats,
        cost: Floats,
        *others: Floats,
        queries: Bools | None = None,
        floors: Sequence[Floor] | None = None,
    ) -> None:
        """As the policy does."""
        self.policy.observe(quality, cost, *others, queries=queries, floors=floors)

    def learn(self, model: str, results: Mapping[str, float]) -> None:
        """As the policy does."""
        self.policy.learn(model, results)

    def see_outcomes(self, models: Sequence[str], scores: Floats, costs: Floats) -> None:
        """As the policy does."""
        self.policy.see_outcomes(models, scores, costs)

    def outdate(self) -> None:
        """As the policy does."""
        self.policy.outdate()

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        """As the policy does."""
        return self.policy.plan(remaining, expected, waiting)

    def set_catalog(self, catalog: ModelCatalog, limits: Coverage | None = None) -> None:
        """As the policy does. There are no newcomers afterwards."""
        self.policy.set_catalog(catalog, limits)
        super().set_catalog(catalog, limits)
        self._known, self._first, self._purpose = len(catalog), 0, "explore"

    def snapshot(self) -> dict[str, Any]:
        """Return the policy's own."""
        return self.policy.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore the policy."""
        self.policy.restore(snapshot)


def _first(batch: Batch, limits: int, models: int) -> Batch:
    """Return the batch for its first models and limits alone."""
    coverage = batch.coverage
    return replace(
        batch,
        quality=batch.quality[:, :models],
        cost=batch.cost[:, :models],
        bound=batch.bound[:, :models],
        allowed=batch.allowed[:, :models],
        coverage=None if coverage is None else coverage.first(limits, models),
        other_amounts=[table[:, :models] for table in batch.other_amounts],
        other_bounds=[table[:, :models] for table in batch.other_bounds],
    )


def _open_to(batch: Batch, drawn: Ints, free: Ints) -> Bools:
    """Return bool[n, M], where each query may go, with what those before it leave.

    drawn: int64[R, n], what each query reserves.
    """
    limits, bounds = batch.limits, batch.bounds
    left = free[:, None] - (drawn.cumsum(axis=1) - drawn)
    open_to = batch.allowed.copy()
    for limit, unit in enumerate(limits.unit.tolist()):
        fits = bounds[unit] <= left[limit][:, None]
        open_to &= fits | ~limits.of_limit(limit, len(open_to))
    return open_to
