"""What the queries of a batch draw on the accounts of a ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from router.arrays import Bools, Floats, Ints
from router.budget.ledger import Ledger, account_key
from router.budget.limits import LimitSet, closed_to
from router.estimation.scorer import Prepared
from router.models.catalog import MILLION, ModelCatalog
from router.policies.base import NONE, Batch
from schemas.fields import UNITS

BEYOND = np.iinfo(np.int64).max
"""Nano-units that no budget holds."""


class Draw(NamedTuple):
    """What one query draws on one account.

    Attributes:
        query: The query's row.
        account: The account's number in the ledger.
        name: The account's name.
        amount: In the account's unit.
    """

    query: int
    account: int
    name: str
    amount: int


class Held(NamedTuple):
    """What a receipt and a row tell of the accounts that hold a reservation.

    Attributes:
        receipt: Fields of the receipt.
        window: Of the row.
    """

    receipt: dict[str, Any]
    window: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """n queries, and the R accounts of a ledger that may cover them.

    Attributes:
        batch: The queries, with the coverage of these accounts.
        models: The M models' names.
        tenants: Of the n queries; None for nobody.
        accounts: int64[R] numbers in the ledger, NONE for an account that is not open.
        general: Whether receipts must tell more than the model and the tenant.
    """

    batch: Batch
    models: Sequence[str]
    tenants: Sequence[str | None]
    accounts: Ints
    general: bool

    def within(self, open_models: Bools, ledger: Ledger) -> tuple[Batch, Ints]:
        """Return what a policy decides: the batch, and int64[R], the room of each of its limits.

        Args:
            open_models: bool[M], the models that take new queries.
            ledger: The ledger.
        """
        free = np.where(self.accounts == NONE, 0, ledger.free()[self.accounts])
        if open_models.all():
            return self.batch, free
        # A closed model whose answers are free of charge would fit an empty budget, too.
        batch = replace(
            self.batch,
            bound=np.where(open_models, self.batch.bound, BEYOND),
            coverage=closed_to(self.batch.limits, ~open_models),
        )
        return batch, np.append(free, 0)

    def draws(self, model: Ints) -> tuple[Ints, Ints, Ints]:
        """Return what queries draw on open accounts, where each goes to the model named.

        Args:
            model: int64[n], NONE for nowhere.

        Returns:
            Rows of the accounts, rows of the queries, and amounts: int64[k] each.
        """
        sent = np.flatnonzero(model != NONE)
        covered = self._covered(sent, model[sent])
        row, at = np.nonzero(covered & (self.accounts != NONE)[:, None])
        amounts = self.batch.limits.drawn(sent, model[sent], self.batch.bounds)
        return row, sent[at], amounts[row, at]

    def short(self, model: Ints, ledger: Ledger) -> Iterator[Draw]:
        """Yield what finds no room, where each query goes to the model named.

        Args:
            model: int64[n], NONE for nowhere.
            ledger: The ledger.
        """
        row, query, amount = self.draws(model)
        names, left = self.batch.limits.names, ledger.free()[self.accounts]
        for k in np.flatnonzero(amount > left[row]).tolist():
            at = int(row[k])
            yield Draw(int(query[k]), int(self.accounts[at]), names[at], int(amount[k]))

    def held(self, model: Ints, ledger: Ledger) -> list[Held]:
        """Return of each query what its receipt tells of the accounts that it draws on.

        Args:
            model: int64[n], where each query goes, NONE for nowhere.
            ledger: The ledger.
        """
        tokens = self.batch.bounds[1] if len(self.batch.bounds) > 1 else None
        known: dict[tuple[int, str | None], Held] = {}
        found = []
        for query, chosen in enumerate(model.tolist()):
            if chosen == NONE:
                found.append(Held({}, 0))
                continue
            key = chosen, self.tenants[query]
            if key not in known:
                known[key] = self._held(query, chosen, ledger)
            one = known[key]
            if tokens is not None and "tokens" in one.receipt.get("limits", ()):
                reserved = int(tokens[query, chosen])
                one = Held(one.receipt | {"reserved_tokens": reserved}, one.window)
            found.append(one)
        return found

    def _held(self, query: int, model: int, ledger: Ledger) -> Held:
        covered = self._covered(np.array([query]), np.array([model]))[:, 0]
        rows = np.flatnonzero(covered & (self.accounts != NONE)).tolist()
        limits, tenant, name = self.batch.limits, self.tenants[query], self.models[model]
        names = [limits.names[row] for row in rows]
        begins = {limits.names[row]: int(ledger.window[self.accounts[row]]) for row in rows}
        if not self.general:
            if names == [name]:
                return Held({}, begins[name])
            if tenant is not None and names == [name, account_key(name, tenant)]:
                return Held({"tenant": tenant}, begins[name])
        by_unit: dict[str, list[str]] = {}
        for row in rows:
            by_unit.setdefault(UNITS[limits.unit[row]], []).append(limits.names[row])
        return Held(
            {
                "tenant": tenant,
                "limits": by_unit or {"currency": []},
                "windows": {account: begin for account, begin in begins.items() if begin},
            },
            0,
        )

    def _covered(self, query: Ints, model: Ints) -> Bools:
        """Return bool[R, k]: which accounts cover k pairs of query and model."""
        limits = self.batch.limits
        covered: Bools = limits.models[:, model]
        return covered if limits.queries is None else covered & limits.queries[:, query]


def draw_on(
    scored: Prepared,
    catalog: ModelCatalog,
    tenants: Sequence[str | None],
    limits: LimitSet,
    ledger: Ledger,
) -> Drawing:
    """Find the accounts of a ledger that queries draw on.

    Args:
        scored: The queries.
        catalog: The models, in the order of the arrays.
        tenants: Of the queries; None for nobody.
        limits: Those in force, of all models of `catalog`.
        ledger: The ledger.
    """
    known = [
        account_key(limit, tenant)
        for tenant in {tenant or "" for tenant in tenants} & ledger.tenants.keys()
        for limit in ledger.tenants[tenant]
    ]
    coverage = limits.accounts(catalog.names, tenants, known)
    accounts = np.array([_number(ledger, name) for name in coverage.names], dtype=np.int64)
    batch = replace(scored.batch, coverage=coverage)
    if limits.measured:
        ones = np.ones(scored.tokens.shape, dtype=np.int64)
        batch = replace(
            batch,
            other_bounds=[scored.tokens, ones],
            other_amounts=[expected_tokens(scored, catalog), ones.astype(np.float64)],
        )
    return Drawing(batch, catalog.names, tenants, accounts, limits.general)


def expected_tokens(scored: Prepared, catalog: ModelCatalog) -> Floats:
    """Return float64[n, M]: the tokens of prompt and answer that estimated costs pay for."""
    prompt, cost = scored.prompt_tokens, np.ceil(scored.batch.cost).astype(np.int64)
    answer = np.minimum(catalog.output_tokens_for(cost, prompt), scored.output_tokens)
    expected: Floats = (prompt + answer).astype(np.float64)
    return expected


def other_amounts(cost: Floats, catalog: ModelCatalog) -> list[Floats]:
    """Return what queries of the past drew in other units than money, float64[n, M] each.

    How many tokens of a cost were the prompt's is not known: half of them is assumed.

    Args:
        cost: float64[n, M], estimated costs, nano-units.
        catalog: The models.
    """
    price = np.maximum((catalog.input_price + catalog.output_price) / 2, 1.0)
    return [np.minimum(cost * MILLION / price, catalog.context), np.ones(cost.shape)]


def _number(ledger: Ledger, name: str) -> int:
    """Return an account's number; NONE where it is not open."""
    number = ledger.index.get(name, NONE)
    return NONE if number != NONE and ledger.lifted(number) else number
