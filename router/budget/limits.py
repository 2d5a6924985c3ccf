"""Limits: which queries and models each covers, and the accounts that a query draws on.

A limit is an amount of money, tokens or requests in a window of time, over some models and some
tenants. It has one account by its name, except a limit for each tenant: that has an account for
every tenant that has been seen, `account_key(limit, tenant)`. Any other limit may have such
accounts beside its own, for tenants whose part of it is limited further.
A query draws on every account that covers its model and its tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from glob import escape
from typing import Literal

import numpy as np

from router.arrays import Bools, Ints
from router.budget.ledger import Ledger, account_key, owner
from router.pricing.coverage import Coverage
from schemas.fields import UNITS, Unit

MOST_TENANTS = 1_000
"""Accounts that a limit for each tenant has at most on a partition; later tenants find no room."""
MOST_KEPT = 256
"""Sets of tenants whose accounts are kept at hand."""
NOBODY = ""
"""The tenant of queries that name none, in a limit for each tenant."""
CLOSED = "\t"
"""The name of a row that keeps queries away from models that take none: no account has it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a limit covers.

    Attributes:
        name: Unique among limits; a model's own limit has the model's name.
        unit: What its amount counts.
        models: Names or shell patterns of the models that it covers; None for all.
        tenants: The tenants that share it, "all", or "each" for an account each.
    """

    name: str
    unit: Unit = "currency"
    models: tuple[str, ...] | None = None
    tenants: frozenset[str] | Literal["all", "each"] = "all"

    @classmethod
    def of_model(cls, model: str) -> Limit:
        """Return a model's own limit of money. Its name is no pattern, whatever signs it holds."""
        return cls(model, models=(escape(model),))

    def covers(self, model: str) -> bool:
        """Return whether it covers a model."""
        return self.models is None or any(
            model == each or fnmatchcase(model, each) for each in self.models
        )


class LimitSet:
    """All limits of a deployment, in order. Immutable."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        """Keep the limits in the order given.

        Raises:
            ValueError: A name is given twice.
        """
        self.limits = tuple(limits)
        self.index = {limit.name: i for i, limit in enumerate(self.limits)}
        if len(self.index) != len(self.limits):
            raise ValueError("each limit needs a name of its own")
        self.each = tuple(limit.name for limit in self.limits if limit.tenants == "each")
        """Names of the limits that have an account for each tenant."""
        self.measured = any(limit.unit != "currency" for limit in self.limits)
        """Whether any limit counts something else than money."""
        self.general = any(
            limit.unit != "currency" or limit.models != (limit.name,) or limit.tenants != "all"
            for limit in self.limits
        )
        """Whether there are others than one money limit a model."""
        self._tables: dict[tuple[str, ...], Bools] = {}
        self._coverages: dict[tuple[tuple[str, ...], ...], Coverage] = {}

    @classmethod
    def per_model(cls, models: Iterable[str]) -> LimitSet:
        """Return one money limit for each model, by its name."""
        return cls(map(Limit.of_model, models))

    def __len__(self) -> int:
        return len(self.limits)

    def extended(self, models: Iterable[str]) -> LimitSet:
        """Return these limits and the own ones of models that have none yet."""
        return LimitSet(
            [
                *self.limits,
                *(Limit.of_model(model) for model in models if model not in self.index),
            ]
        )

    def models(self, names: Sequence[str]) -> Bools:
        """Return bool[L, M]: which of the named models each limit covers."""
        key = tuple(names)
        if key not in self._tables:
            rows = [[limit.covers(name) for name in key] for limit in self.limits]
            self._tables[key] = np.array(rows, dtype=np.bool_).reshape(len(self), len(key))
        return self._tables[key]

    def unit_of(self, account: str) -> Unit:
        """Return what an account counts; money for one of no limit here."""
        at = self.index.get(owner(account)[0])
        return "currency" if at is None else self.limits[at].unit

    def for_all(self, models: Sequence[str]) -> Coverage:
        """Return the limits that cover every tenant, over some models: what is known beforehand."""
        rows = [i for i, limit in enumerate(self.limits) if limit.tenants == "all"]
        return Coverage(
            tuple(self.limits[i].name for i in rows), self._units(rows), self.models(models)[rows]
        )

    def named(self, models: Sequence[str], accounts: Iterable[str]) -> Coverage:
        """Return the coverage of some accounts by name, whatever tenants they are of."""
        names = tuple(accounts)
        rows = [self.index[owner(name)[0]] for name in names]
        return Coverage(names, self._units(rows), self.models(models)[rows])

    def tells_apart(self, account: str) -> bool:
        """Return whether an account covers some tenants, not all."""
        limit, tenant = owner(account)
        at = self.index.get(limit)
        return at is not None and (tenant is not None or self.limits[at].tenants != "all")

    def of_tenants(self, account: str, tenants: Sequence[str | None]) -> list[bool]:
        """Return which of some tenants an account covers; None is nobody."""
        limit, tenant = owner(account)
        if tenant is not None:
            return [(each or NOBODY) == tenant for each in tenants]
        covered = self.limits[self.index[limit]].tenants
        return [covered == "all" or each in covered for each in tenants]

    def accounts(
        self, models: Sequence[str], tenants: Sequence[str | None], known: Iterable[str]
    ) -> Coverage:
        """Return the accounts that may cover queries: the `names` are those of accounts.

        Args:
            models: The M models in order.
            tenants: Of the n queries; None for nobody.
            known: Names of the accounts of single tenants, of whatever tenants.
        """
        asking = [tenant or NOBODY for tenant in tenants]
        present = tuple(sorted(set(asking)))
        coverage = self._accounts_of(tuple(models), present, tuple(sorted(known)))
        if coverage.queries is None:
            return coverage
        number = {tenant: i for i, tenant in enumerate(present)}
        columns = np.array([number[tenant] for tenant in asking], dtype=np.int64)
        return replace(coverage, queries=coverage.queries[:, columns])

    def _accounts_of(
        self, models: tuple[str, ...], present: tuple[str, ...], known: tuple[str, ...]
    ) -> Coverage:
        """Return the accounts that may cover these tenants; its columns of `queries` are theirs.

        What was found is kept: the same tenants ask again and again.
        """
        key = models, present, known
        if key not in self._coverages:
            if len(self._coverages) >= MOST_KEPT:
                self._coverages.clear()
            self._coverages[key] = self._find_accounts(*key)
        return self._coverages[key]

    def _find_accounts(
        self, models: tuple[str, ...], present: tuple[str, ...], known: tuple[str, ...]
    ) -> Coverage:
        names: list[str] = []
        rows: list[int] = []
        covered: list[list[bool]] = []
        for i, limit in enumerate(self.limits):
            if limit.tenants == "each":
                continue
            of = [limit.tenants == "all" or tenant in limit.tenants for tenant in present]
            if any(of) or limit.tenants == "all":
                names.append(limit.name)
                rows.append(i)
                covered.append(of)
        for name in self._of_tenants(set(present), known):
            limit_name, owned_by = owner(name)
            names.append(name)
            rows.append(self.index[limit_name])
            covered.append([tenant == owned_by for tenant in present])
        alike = all(map(all, covered))
        return Coverage(
            tuple(names),
            self._units(rows),
            self.models(models)[rows],
            None if alike else np.array(covered, dtype=np.bool_).reshape(len(names), len(present)),
        )

    def _of_tenants(self, present: set[str], known: Iterable[str]) -> list[str]:
        """Return the accounts of single tenants that cover any of the tenants present."""
        needed = {account_key(limit, tenant) for limit in self.each for tenant in present}
        for name in known:
            limit, tenant = owner(name)
            if tenant in present and limit in self.index:
                needed.add(name)
        return sorted(needed)

    def _units(self, rows: Sequence[int]) -> Ints:
        return np.array([UNITS.index(self.limits[i].unit) for i in rows], dtype=np.int64)


def tenants_in_force(
    limits: LimitSet, ledger: Ledger, commanded: frozenset[str], tenants: Iterable[str | None] = ()
) -> frozenset[str]:
    """Return the accounts of single tenants that apply on a partition, for `limit_tenants`.

    Args:
        limits: Of the deployment.
        ledger: Of the partition.
        commanded: Accounts that the configuration or a command limits.
        tenants: Who is asking now: a limit for each tenant gets an account for each of them.
    """
    if not limits.each:
        return commanded
    found = set(commanded)
    asking = dict.fromkeys(tenant or NOBODY for tenant in tenants)
    for limit in limits.each:
        prefix = account_key(limit, "")
        known = {name for name in ledger.names if name.startswith(prefix)}
        for tenant in asking:
            if len(known) < MOST_TENANTS:
                known.add(account_key(limit, tenant))
        found |= known
    return frozenset(found)


def closed_to(coverage: Coverage, closed: Bools) -> Coverage:
    """Return a coverage with one more row, of no room, over the models that take no queries.

    Args:
        coverage: R limits over M models.
        closed: bool[M].
    """
    queries = coverage.queries
    if queries is not None:
        queries = np.concatenate([queries, np.ones((1, queries.shape[1]), dtype=np.bool_)])
    return Coverage(
        (*coverage.names, CLOSED),
        np.append(coverage.unit, 0),
        np.concatenate([coverage.models, closed[None]]),
        queries,
    )


def with_tenants(
    amounts: Mapping[str, int], limits: LimitSet, accounts: Iterable[str]
) -> dict[str, int]:
    """Return amounts by account: a limit for each tenant is that of every account it has.

    Args:
        amounts: By limit, and by account where a tenant has an amount of its own.
        limits: Of the deployment.
        accounts: Names of the accounts that there are.
    """
    found = {name: amount for name, amount in amounts.items() if name not in limits.each}
    for name in accounts:
        limit, tenant = owner(name)
        if tenant is not None and limit in limits.each and limit in amounts:
            found.setdefault(name, amounts[limit])
    return found
