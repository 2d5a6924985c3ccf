"""Which limits a query draws on, and how much of each.

A limit is an amount of money, tokens or requests, over some models and some tenants. A query that
goes to a model draws on every limit that covers both. Units are numbered 0 (money) to U - 1; the
tables of amounts of a batch stand in that order, so that no table is copied for a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.arrays import Bools, Floats, Ints

UNBOUNDED = np.iinfo(np.int64).max
"""The room of a pair that no limit covers."""
SHARED = "total"
"""The name of one limit over all models."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """R limits over M models, and over n queries where limits tell queries apart.

    Attributes:
        names: The limits' R names.
        unit: int64[R], the number of the table of amounts that a limit counts in.
        models: bool[R, M], the models it covers.
        queries: bool[R, n], the queries (of its tenants) that it covers; None where each limit
            covers every query.
    """

    names: tuple[str, ...]
    unit: Ints
    models: Bools
    queries: Bools | None = None

    @classmethod
    def per_model(cls, models: Sequence[str]) -> Coverage:
        """Return one money limit for each model, by its name."""
        count = len(models)
        return cls(tuple(models), np.zeros(count, np.int64), np.eye(count, dtype=np.bool_))

    @classmethod
    def shared(cls, models: int, name: str = SHARED) -> Coverage:
        """Return one money limit over so many models."""
        return cls((name,), np.zeros(1, np.int64), np.ones((1, models), dtype=np.bool_))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shared_by_models(self) -> bool:
        """Whether any limit covers several models."""
        return bool((self.models.sum(axis=1) > 1).any())

    def take(self, rows: Ints | slice) -> Coverage:
        """Return the limits of some of the queries, by int64[m] row or slice."""
        return self if self.queries is None else replace(self, queries=self.queries[:, rows])

    def of_models(self, columns: Ints) -> tuple[Coverage, Ints]:
        """Return the limits over some of the models, without those that cover none of them.

        Args:
            columns: int64[m] model numbers.

        Returns:
            The limits over these m models, and their int64 numbers among all.
        """
        models = self.models[:, columns]
        kept = np.flatnonzero(models.any(axis=1))
        names = tuple(self.names[limit] for limit in kept.tolist())
        queries = None if self.queries is None else self.queries[kept]
        return Coverage(names, self.unit[kept], models[kept], queries), kept

    def extended(self, more: Coverage) -> Coverage:
        """Return these limits and more over the same models; of all queries."""
        return Coverage(
            (*self.names, *more.names),
            np.concatenate([self.unit, more.unit]),
            np.concatenate([self.models, more.models]),
        )

    def first(self, limits: int, models: int) -> Coverage:
        """Return the first limits, over the first models."""
        queries = None if self.queries is None else self.queries[:limits]
        return Coverage(
            self.names[:limits], self.unit[:limits], self.models[:limits, :models], queries
        )

    def priced(self, prices: Floats, amounts: Sequence[Floats]) -> Floats:
        """Return float64[n, M], Σ_r γ_r·a_r: what each pair of query and model costs.

        A row's bits do not depend on the rows beside it.

        Args:
            prices: float64[R] ≥ 0.
            amounts: float64[n, M] a unit.
        """
        total: Floats | None = None
        for unit, table in enumerate(amounts):
            limits = np.flatnonzero((self.unit == unit) & (prices > 0))
            if not len(limits):
                continue
            if self._alike(limits):
                rate = (prices[limits, None] * self.models[limits]).sum(axis=0)
            else:
                rate = np.zeros(table.shape)
                for limit in limits.tolist():
                    rate[self._queries(limit)] += prices[limit] * self.models[limit]
            part = rate * table
            total = part if total is None else total + part
        return np.zeros(amounts[0].shape) if total is None else total

    def fits(self, left: Ints, bounds: Sequence[Ints]) -> Bools:
        """Return bool[n, M]: where every limit that covers a pair has room for it.

        Args:
            left: int64[R], what each limit still holds.
            bounds: int64[n, M] a unit, what each pair would reserve.
        """
        found: Bools | None = None
        for unit, table in enumerate(bounds):
            fits = table <= self.room(left, unit, len(table))
            found = fits if found is None else found & fits
        return np.zeros((0, 0), np.bool_) if found is None else found

    def room(self, left: Ints, unit: int, n: int) -> Ints:
        """Return int64[n or 1, M]: the most of a unit that a pair may draw.

        One row stands for all queries where limits do not tell them apart. `UNBOUNDED` where no
        limit of the unit covers a pair.
        """
        limits = np.flatnonzero(self.unit == unit)
        here = np.where(self.models[limits], left[limits, None], UNBOUNDED)
        if self._alike(limits):
            tightest: Ints = here.min(axis=0, initial=UNBOUNDED, keepdims=True)
            return tightest
        most = np.full((n, self.models.shape[1]), UNBOUNDED)
        for limit, room in zip(limits.tolist(), here, strict=True):
            rows = self._queries(limit)
            most[rows] = np.minimum(most[rows], room)
        return most

    def drawn(self, query: Ints, model: Ints, amounts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return [R, m]: what m pairs of query and model draw on each limit.

        Args:
            query: int64[m] row numbers.
            model: int64[m] model numbers.
            amounts: [n, M] a unit; what is returned is of their type.
        """
        each = np.stack([table[query, model] for table in amounts])[self.unit]
        covered = self.models[:, model]
        if self.queries is not None:
            covered = covered & self.queries[:, query]
        return np.where(covered, each, each.dtype.type(0))

    def of_limit(self, limit: int, n: int) -> Bools:
        """Return bool[n, M]: the pairs that a limit covers."""
        covered = np.zeros((n, self.models.shape[1]), dtype=np.bool_)
        covered[slice(None) if self.queries is None else self.queries[limit]] = self.models[limit]
        return covered

    def _alike(self, limits: Ints) -> bool:
        """Return whether these limits cover every query."""
        return self.queries is None or bool(self.queries[limits].all())

    def _queries(self, limit: int) -> Bools:
        assert self.queries is not None
        covered: Bools = self.queries[limit]
        return covered
