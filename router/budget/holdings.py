"""What a receipt's reservation holds of which account, and what a result charges to each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from router.budget.ledger import account_key
from schemas import Receipt, Result
from schemas.fields import Unit

MAX_TOKENS = 10**12
"""Tokens one answer is charged at most."""


class Holding(NamedTuple):
    """A part of a reservation.

    Attributes:
        account: The account's name.
        unit: What the account counts.
        amount: Reserved, in that unit.
        window: Begin of the account's window, Unix seconds; None where the receipt does not tell.
    """

    account: str
    unit: Unit
    amount: int
    window: int | None = None

    def charge(self, result: Result, cost: int) -> int:
        """Return what a result charges to the account.

        Tokens that are not known are those reserved, or none where the call failed. A request
        counts whatever comes of it.

        Args:
            result: The result.
            cost: Its cost, nano-units.
        """
        if self.unit == "currency":
            return cost
        if self.unit == "requests":
            return 1
        if result.usage is not None and not result.estimated:
            return min(result.usage.prompt_tokens + result.usage.completion_tokens, MAX_TOKENS)
        return self.amount if result.estimated or result.status_code < 300 else 0


def holdings(receipt: Receipt) -> tuple[Holding, ...]:
    """Return what a receipt's reservation holds; nothing where its query was not routed."""
    if receipt.decision != "routed" or receipt.model is None:
        return ()
    if receipt.limits:
        amounts: dict[Unit, int] = {
            "currency": receipt.reserved,
            "tokens": receipt.reserved_tokens,
            "requests": 1,
        }
        return tuple(
            Holding(account, unit, amounts[unit], receipt.windows.get(account, 0))
            for unit, accounts in receipt.limits.items()
            for account in accounts
        )
    accounts = [receipt.model]
    if receipt.tenant is not None:
        accounts.append(account_key(receipt.model, receipt.tenant))
    return tuple(Holding(account, "currency", receipt.reserved) for account in accounts)


def located(
    receipt: Receipt, index: Mapping[str, int], window: int
) -> Iterator[tuple[int, int, Holding]]:
    """Yield the number, the window and the part of each account that holds a reservation.

    Accounts of limits that are no longer configured are gone.

    Args:
        receipt: Of the decision.
        index: Numbers of a ledger's accounts.
        window: Begin of the budget window, where the receipt does not tell.
    """
    for part in holdings(receipt):
        if part.account in index:
            yield index[part.account], window if part.window is None else part.window, part
