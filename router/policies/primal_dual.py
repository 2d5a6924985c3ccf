"""Primal-dual: the model whose estimated quality most exceeds its price (Sluice's default)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from router.arrays import Bools, Floats, Ints, even_rows
from router.models.catalog import ModelCatalog
from router.policies.base import Batch, Decisions, Policy
from router.policies.corrections import Corrections
from router.policies.draws import uniform
from router.policies.floors import Floor
from router.policies.reserve import best_first
from router.pricing.coverage import Coverage
from router.pricing.demand import DemandForecast, least_worth, mixed
from router.pricing.pace import Pace
from router.pricing.prices import Program, dual_prices

TIE = 1e-9
"""Of the quality: a score nearer to 0 than this is 0 but for rounding, in the solver or here."""
LEAST = float(np.finfo(np.float64).tiny)
"""The score of a pair that is worth exactly its price: after all others that are worth theirs."""


class PrimalDual(Policy):
    """Sends each query to the model of highest quality net of its price.

    argmax_i d̂_ij − Σ_r γ_r·a_rij where that is not negative; the next best where there is no room.
    a_rij is what query j draws on limit r at model i. Where it is 0 the program serves as many such
    queries as there is money for (complementary slackness), so these are served in order of arrival
    while the limits hold them: of identical queries all are worth exactly their price.

    The prices γ come from the linear program (`pricing/prices.py`) over a sample of queries like
    those to come (`pricing/demand.py`), with what is left of each limit over the arrivals that will
    share it (Agrawal, Wang and Ye 2014; Li and Ye 2022), solved again every `every` arrivals, or
    more often where few are expected. The first prices come from leave-one-out estimates of the
    history, so that no query is spent on a warm-up; without a history the sample is what has
    arrived. Queries that wait share what is left, too: as the part of the arrivals that is worth
    least.
    """

    name = "primal-dual"
    estimator = "best"

    def __init__(
        self,
        catalog: ModelCatalog,
        every: int = 250,
        window: int = 2000,
        parts: int = 16,
        corrected: bool = False,
    ) -> None:
        """Start with prices of 0.

        Args:
            catalog: The models.
            every: Arrivals between two solutions.
            window: Queries in the sample of a solution.
            parts: Solutions, at least, over the queries that limits are for.
            corrected: Whether outcomes correct estimates (`corrections.py`).
        """
        super().__init__(catalog)
        self.window = window
        self.version = 0
        self.gamma: Floats = np.zeros(len(self.limits))
        self._others: dict[str, float] = {}
        self._forecast: DemandForecast | None = None
        self._arrived: list[Floats] = []
        self._covered: Bools | None = None
        self._pace = Pace(every, parts)
        self._corrections = Corrections(catalog, corrected)
        self.resumes = corrected  # type: ignore[misc]  # of the class elsewhere

    def route(self, batch: Batch, free: Ints) -> Decisions:
        """Score, then reserve in order of arrival."""
        batch = self._corrections.batch(batch)
        prices = batch.priced_by(self.limits, self.gamma, self._others)
        price = batch.limits.priced(prices, batch.amounts)
        score = _spread_ties(_score(batch, price), price, batch)
        return best_first(score, batch, free, self.version)

    def warm_start(self, quality: Floats, cost: Floats, *others: Floats) -> None:
        """Forecast demand from an even sample of the history."""
        rows = even_rows(len(quality), self.window)
        self._forecast = None
        if len(rows):
            tables = [table[rows] for table in others]
            self._forecast = DemandForecast(quality[rows], cost[rows], self.window, *tables)

    def observe(
        self,
        quality: Floats,
        cost: Floats,
        *others: Floats,
        queries: Bools | None = None,
        floors: Sequence[Floor] | None = None,
    ) -> None:
        """Add arrivals to the forecast, or to the sample where there is no history."""
        tables = [quality, cost, *others]
        if self._forecast is not None:
            self._forecast.observe(*tables)
        else:
            known = self._arrived or [table[:0] for table in tables]
            self._arrived = [
                np.concatenate(pair)[-self.window :] for pair in zip(known, tables, strict=True)
            ]
        if queries is not None and len(quality):
            covered = queries if self._covered is None else np.hstack([self._covered, queries])
            self._covered = covered[:, -self.window :]
        self._pace.count(len(quality))
        self._corrections.fade(len(quality))

    def see_outcomes(self, models: Sequence[str], scores: Floats, costs: Floats) -> None:
        """Compare outcomes with estimates, and correct what has changed for certain."""
        if self._corrections.learn(models, scores, costs):
            self.outdate()

    def outdate(self) -> None:
        """Have the next `plan` solve the program."""
        self._pace.outdate()

    def plan(self, remaining: Ints, expected: float | Floats, waiting: float = 0.0) -> bool:
        """Solve the program for what is left, if enough queries have arrived since the last time.

        `pricing/pace.py` says how many are enough.
        """
        most = float(np.max(expected, initial=0.0))
        self._pace.expect(most)
        if most + waiting <= 0 or not self._pace.due:
            return False
        sample = self._arrived if self._forecast is None else self._forecast.sample(most)
        if not sample or not len(sample[0]):
            return False
        sample = self._with_waiting(self._corrections.tables(*sample), waiting, most)
        quality, *amounts = sample
        sharing = np.maximum(np.add(expected, waiting), 1e-9)
        room = np.maximum(remaining, 0) * (len(quality) / sharing)
        program = Program(quality, amounts, self._sample_coverage(len(quality)), room)
        self.gamma = dual_prices(program, self.gamma if self.version else None)
        self.version += 1
        self._pace.solved()
        return True

    def _with_waiting(self, sample: list[Floats], waiting: float, to_come: float) -> list[Floats]:
        """Replace a part of a sample of the arrivals to come by queries like those that wait."""
        if waiting <= 0:
            return sample
        newest = self._arrived if self._forecast is None else self._forecast.newest
        newest = self._corrections.tables(*newest) if len(newest[0]) else sample
        quality, *amounts = newest
        price = self._sample_coverage(len(quality)).priced(self.gamma, amounts)
        part = min(waiting / self._pace.came, 1.0)
        least = least_worth((quality - price).max(axis=1), part)
        return mixed(sample, [table[least] for table in newest], waiting / (waiting + to_come))

    def _sample_coverage(self, count: int) -> Coverage:
        """Return the limits of a sample, which is of the tenants that the newest arrivals are of.

        Which tenant asks is taken to be independent of what is asked.
        """
        if self._covered is None or not self._covered.shape[1]:
            return self.limits
        columns = np.arange(count) % self._covered.shape[1]
        return replace(self.limits, queries=self._covered[:, columns])

    def set_catalog(self, catalog: ModelCatalog, limits: Coverage | None = None) -> None:
        """Keep sample and prices of what stays; solve again at the next `plan`."""
        before, old = self.catalog, dict(zip(self.limits.names, self.gamma.tolist(), strict=True))
        if self._forecast is not None:
            self._forecast.set_catalog(catalog, before)
        self._arrived = [
            catalog.align(table, before, 0.0 if i else -np.inf)
            for i, table in enumerate(self._arrived)
        ]
        self._corrections.set_catalog(catalog)
        covered = None if limits is None else limits.queries
        super().set_catalog(catalog, limits)
        self.limits = replace(self.limits, queries=None)
        # Until the next solution, a new limit's price is the highest of the others.
        dearest = self.gamma.max(initial=0.0)
        self.gamma = np.array([old.get(name, dearest) for name in self.limits.names], np.float64)
        self._covered = covered
        self.outdate()

    def snapshot(self) -> dict[str, Any]:
        """Return the prices by limit (a model's own limit has its name), and their version."""
        prices = dict(zip(self.limits.names, self.gamma.tolist(), strict=True))
        return {"version": self.version, "prices": prices, **self._corrections.entry()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the prices; a limit of money they do not name gets the highest of such a limit.

        Raises:
            ValueError: The snapshot lacks a version or prices, or a price is negative or not
                finite.
        """
        version, prices = snapshot.get("version"), snapshot.get("prices")
        if not isinstance(version, int) or not isinstance(prices, Mapping):
            raise ValueError("a primal-dual snapshot holds a version and prices by limit")
        given = np.array([*prices.values(), 0.0], np.float64)
        if not (np.isfinite(given) & (given >= 0)).all():
            raise ValueError(f"prices must be finite and at least 0: {dict(prices)}")
        self._corrections.restore(snapshot.get("corrections", {}))
        units = dict(zip(self.limits.names, self.limits.unit.tolist(), strict=True))
        dearest = max((p for name, p in prices.items() if not units.get(name, 0)), default=0.0)
        missing = [0.0 if unit else dearest for unit in self.limits.unit.tolist()]
        known = zip(self.limits.names, missing, strict=True)
        self.gamma = np.array([prices.get(name, other) for name, other in known], np.float64)
        self.version = version
        self._others = {name: price for name, price in prices.items() if name not in units}


def _spread_ties(score: Floats, price: Floats, batch: Batch) -> Floats:
    """Return scores in which, of the best models that are alike, one drawn by the query's id leads.

    Models of equal quality, cost and price are told apart by nothing but their order, as when
    beliefs are all that is known of them: the first one would get all queries, and the others stay
    unknown.

    Args:
        score: float64[n, M].
        price: float64[n, M], of each pair.
        batch: The n queries.
    """
    rows = np.arange(len(score))
    best = score.argmax(axis=1)
    tied = score > 0
    with np.errstate(invalid="ignore"):  # of pairs that are not possible
        for table in (batch.quality, price, batch.cost):
            of_best = table[rows, best][:, None]
            tied &= np.abs(table - of_best) <= TIE * np.abs(of_best)
    several = np.flatnonzero(tied.sum(axis=1) > 1)
    if len(several):
        draws = uniform([batch.ids[row] for row in several.tolist()], 0, "tie")
        place = (draws * tied[several].sum(axis=1)).astype(np.int64)
        drawn = (tied[several].cumsum(axis=1) > place[:, None]).argmax(axis=1)
        score[several, drawn] = np.nextafter(score[several].max(axis=1), np.inf)
    return score


def _score(batch: Batch, price: Floats) -> Floats:
    """Return float64[n, M], quality net of its price: positive where a pair is worth it.

    A pair that brings something and is worth exactly its price has the score `LEAST`; one that is
    not possible has -inf.
    """
    score = np.where(batch.allowed, batch.quality - price, -np.inf)
    score[np.isnan(score)] = -np.inf
    score[(batch.quality > 0) & (np.abs(score) <= TIE * batch.quality)] = LEAST
    return score
