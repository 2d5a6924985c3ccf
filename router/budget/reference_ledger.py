"""The ledger of one partition, rebuilt from its receipts and results (invariant I7).

A second, simpler implementation of the sums that `budget.ledger` keeps at run time. The two share
nothing but the price of an answer, so that each can be checked against the other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from router.budget.charges import cost_of
from router.budget.ledger import account_key
from router.models.catalog import ModelCatalog
from schemas import Receipt, Result


@dataclass(slots=True)
class Held:
    """A reservation.

    Attributes:
        query: The query's id.
        model: The model it was sent to.
        amount: Nano-units.
        since: The partition's results that were processed before it was made.
        window: Begin of the budget window, Unix seconds.
        tenant: Whose account for the model holds it too; None for nobody's.
        expired: Whether its deadline passed and the money was released.
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
    """What a result did to the accounts.

    Attributes:
        query: The query's id.
        model: The model that answered.
        released: Nano-units that were still reserved for it.
        cost: Nano-units charged.
        late: Whether its reservation had already been released.
        tenant: Whose account was charged too; None for nobody's.
    """

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
        """Nano-units by which the answer cost more than was reserved for it."""
        return max(self.cost - self.released, 0)


class ReferenceLedger:
    """Sums of reservations and charges by account and budget window, nano-units.

    Any order of decisions gives the same sums, and a result that comes twice counts once.
    """

    def __init__(self, catalog: ModelCatalog) -> None:
        self._catalog = catalog
        self.reserved: Counter[tuple[str, int]] = Counter()
        self.spent: Counter[tuple[str, int]] = Counter()
        self.held: dict[str, Held] = {}
        """By decision id."""

    def decide(self, receipt: Receipt, window: int = 0) -> None:
        """Hold what a receipt reserves. Call it once for each decision.

        Args:
            receipt: Of the decision.
            window: Begin of the budget window, Unix seconds.
        """
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
        """Charge a result.

        Args:
            offset: Of the result in the partition's results; call in rising order.
            result: The result.

        Returns:
            The charge; None where it charges nothing: no reservation was open for it (also when it
            comes a second time), or it names another query or model.
        """
        held = self.held.get(result.decision_id)
        if (
            held is None
            or offset < held.since
            or (result.id, result.model) != (held.query, held.model)
        ):
            return None
        cost = cost_of(result, self._catalog, held.amount)
        del self.held[result.decision_id]
        released = 0 if held.expired else held.amount
        self._move(held, -released, cost)
        return Charge(held.query, held.model, released, cost, held.expired, held.tenant)

    def expire(self, decision_id: str) -> Held | None:
        """Release a reservation at its deadline; a late result is still charged.

        Returns:
            The reservation; None where there is none, or it has expired before.
        """
        held = self.held.get(decision_id)
        if held is None or held.expired:
            return None
        held.expired = True
        self._move(held, -held.amount, 0)
        return held

    def forget(self, decision_id: str) -> None:
        """Drop an expired reservation: no late result is expected any more."""
        held = self.held.get(decision_id)
        if held is not None and held.expired:
            del self.held[decision_id]

    def _move(self, held: Held, reserved: int, spent: int) -> None:
        for account in held.accounts:
            self.reserved[account, held.window] += reserved
            self.spent[account, held.window] += spent


def accounts_of(model: str, tenant: str | None) -> tuple[str, ...]:
    """Return the names of the accounts that hold a reservation for a tenant; None for nobody's."""
    return (model,) if tenant is None else (model, account_key(model, tenant))
