"""The ledger of one partition, rebuilt from its receipts and results (invariant I7).

A second, simpler implementation of the sums that `budget.ledger` keeps at run time. The two share
nothing but the price of an answer, so that each can be checked against the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from router.budget.charges import cost_of, lacks_price, without_false_usage
from router.budget.holdings import Holding, holdings
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
        parts: What it holds of which account.
        windows: Begin of each account's window, Unix seconds.
        expired: Whether its deadline passed and the money was released.
    """

    query: str
    model: str
    amount: int
    since: int
    parts: tuple[Holding, ...] = ()
    windows: Mapping[str, int] = field(default_factory=dict)
    expired: bool = False

    @property
    def accounts(self) -> tuple[str, ...]:
        """The names of the accounts that hold it."""
        return tuple(part.account for part in self.parts)


class Entry(NamedTuple):
    """What a result did to one account.

    Attributes:
        account: The account's name.
        window: Begin of the window that held the reservation, Unix seconds.
        released: What was still reserved there for it, in the account's unit.
        charged: What was charged.
    """

    account: str
    window: int
    released: int
    charged: int

    @property
    def excess(self) -> int:
        """What was charged above what was reserved."""
        return max(self.charged - self.released, 0)


class Charge(NamedTuple):
    """What a result did to the accounts.

    Attributes:
        query: The query's id.
        model: The model that answered.
        released: Nano-units that were still reserved for it.
        cost: Nano-units charged.
        late: Whether its reservation had already been released.
        entries: Of each account.
    """

    query: str
    model: str
    released: int
    cost: int
    late: bool
    entries: tuple[Entry, ...] = ()

    @property
    def accounts(self) -> tuple[str, ...]:
        """The names of the accounts that were charged."""
        return tuple(entry.account for entry in self.entries)

    @property
    def excess(self) -> int:
        """Nano-units by which the answer cost more than was reserved for it."""
        return max(self.cost - self.released, 0)


class ReferenceLedger:
    """Sums of reservations and charges by account and budget window, each in the account's unit.

    Any order of decisions gives the same sums, and a result that comes twice counts once.
    """

    def __init__(self, catalog: ModelCatalog) -> None:
        self._catalog = catalog
        self.reserved: Counter[tuple[str, int]] = Counter()
        self.spent: Counter[tuple[str, int]] = Counter()
        self.held: dict[str, Held] = {}
        """By decision id."""
        self.unpriced: Counter[str] = Counter()
        """By model, the results that are charged their reservations for want of its prices."""

    def decide(self, receipt: Receipt, windows: Mapping[str, int] | None = None) -> None:
        """Hold what a receipt reserves. Call it once for each decision.

        Args:
            receipt: Of the decision.
            windows: Begin of each account's window, Unix seconds, where the receipt does not tell;
                0 where left out.
        """
        if receipt.decision == "routed" and receipt.model is not None:
            parts = holdings(receipt)
            held = Held(
                receipt.id,
                receipt.model,
                receipt.reserved,
                receipt.results_offset,
                parts,
                {
                    part.account: (windows or {}).get(part.account, 0)
                    if part.window is None
                    else part.window
                    for part in parts
                },
            )
            for part in parts:
                self.reserved[part.account, held.windows[part.account]] += part.amount
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
        seen = without_false_usage(result, self._catalog)
        self.unpriced[result.model] += lacks_price(result, self._catalog)
        del self.held[result.decision_id]
        entries = tuple(
            Entry(
                part.account,
                held.windows[part.account],
                0 if held.expired else part.amount,
                part.charge(seen, cost),
            )
            for part in held.parts
        )
        for entry in entries:
            self.reserved[entry.account, entry.window] -= entry.released
            self.spent[entry.account, entry.window] += entry.charged
        released = 0 if held.expired else held.amount
        return Charge(held.query, held.model, released, cost, held.expired, entries)

    def expire(self, decision_id: str) -> Held | None:
        """Release a reservation at its deadline; a late result is still charged.

        Returns:
            The reservation; None where there is none, or it has expired before.
        """
        held = self.held.get(decision_id)
        if held is None or held.expired:
            return None
        held.expired = True
        for part in held.parts:
            self.reserved[part.account, held.windows[part.account]] -= part.amount
        return held

    def forget(self, decision_id: str) -> None:
        """Drop an expired reservation: no late result is expected any more."""
        held = self.held.get(decision_id)
        if held is not None and held.expired:
            del self.held[decision_id]
