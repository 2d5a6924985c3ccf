"""The ledger of one partition, rebuilt from its receipts and results (invariant I7).

A second, simpler way to the sums that `budget.ledger` keeps while it runs: nothing is shared but
the price of an answer, so that each can be held against the other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from router.budget.ledger import account_key
from router.models.catalog import ModelCatalog
from schemas import Receipt, Result

MAX_CHARGE = 10**16
"""Nano-units one answer may cost; a result that claims more is refused."""


@dataclass(slots=True)
class Held:
    """A reservation. since: results of the partition that were folded before it was made; window:
    of the budget, by its begin; tenant: whose account for the model holds it too.
    """

    query: str
    model: str
    amount: int
    since: int
    window: int = 0
    tenant: str | None = None
    expired: bool = False

    @property
    def accounts(self) -> tuple[str, ...]:
        """The names of the accounts that hold it."""
        return accounts_of(self.model, self.tenant)


class Charge(NamedTuple):
    """What a result did. released, cost: nano-units; late: its reservation had been released."""

    query: str
    model: str
    released: int
    cost: int
    late: bool
    tenant: str | None = None

    @property
    def accounts(self) -> tuple[str, ...]:
        """The names of the accounts that were charged."""
        return accounts_of(self.model, self.tenant)

    @property
    def excess(self) -> int:
        """By how much the answer cost more than was held for it."""
        return max(self.cost - self.released, 0)


class ReferenceLedger:
    """Sums of reservations and charges by account and budget window, nano-units.

    Any order of decisions gives the same sums, and a result that comes twice counts once.
    """

    def __init__(self, catalog: ModelCatalog) -> None:
        self._fleet = catalog
        self.reserved: Counter[tuple[str, int]] = Counter()
        self.spent: Counter[tuple[str, int]] = Counter()
        self.held: dict[str, Held] = {}
        """By decision id."""

    def decide(self, receipt: Receipt, window: int = 0) -> None:
        """Hold what a receipt reserves. Each decision is to be given once."""
        if receipt.decision == "routed" and receipt.model is not None:
            held = Held(
                receipt.id,
                receipt.model,
                receipt.reserved,
                receipt.results_offset,
                window,
                receipt.tenant,
            )
            self._move(held, receipt.reserved, 0)
            self.held[receipt.decision_id] = held

    def settle(self, offset: int, result: Result) -> Charge | None:
        """Charge a result that stands at `offset` of the partition's results, in their order.

        None where it charges nothing: no reservation was open for it at its time (also where it
        comes a second time), it names another query or model, or costs more than any can.
        """
        held = self.held.get(result.decision_id)
        if (
            held is None
            or offset < held.since
            or (result.id, result.model) != (held.query, held.model)
            or (cost := cost_of(result, self._fleet)) > MAX_CHARGE
        ):
            return None
        del self.held[result.decision_id]
        released = 0 if held.expired else held.amount
        self._move(held, -released, cost)
        return Charge(held.query, held.model, released, cost, held.expired, held.tenant)

    def expire(self, decision_id: str) -> Held | None:
        """Release what is held at its deadline; a late result is still charged."""
        held = self.held.get(decision_id)
        if held is None or held.expired:
            return None
        held.expired = True
        self._move(held, -held.amount, 0)
        return held

    def forget(self, decision_id: str) -> None:
        """Expect no late result any more."""
        held = self.held.get(decision_id)
        if held is not None and held.expired:
            del self.held[decision_id]

    def _move(self, held: Held, reserved: int, spent: int) -> None:
        for account in held.accounts:
            self.reserved[account, held.window] += reserved
            self.spent[account, held.window] += spent


def accounts_of(model: str, tenant: str | None) -> tuple[str, ...]:
    """The names of the accounts that hold what is reserved for a tenant; None: for nobody's."""
    return (model,) if tenant is None else (model, account_key(model, tenant))


def cost_of(result: Result, catalog: ModelCatalog) -> int:
    """Nano-units: what the provider says, else usage at the model's prices, else nothing.

    Raises KeyError for a model that is not in the fleet.
    """
    if result.cost is not None:
        return result.cost
    if result.usage is None:
        return 0
    model = catalog.models[catalog.index[result.model]]
    return model.cost(result.usage.prompt_tokens, result.usage.completion_tokens)
