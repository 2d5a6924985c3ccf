"""Routers as the tests of shares know them: a ledger, a changelog, and reports."""

from __future__ import annotations

import numpy as np

from router.budget.ledger import Accounts, Ledger, account_key
from router.budget.shares import apply_grant
from schemas import ShareGrant, ShareReport, ShareUse

NAMES = ("cheap", "good")
SHOP = account_key("good", "shop")
WINDOWED = 1
"""Position of the account that has windows; they are numbered 0, 1, 2, …"""


class Router:
    """One partition: its ledger, and the changelog that a kill takes it back to."""

    def __init__(
        self, number: int, carry: bool = False, tenants: frozenset[str] = frozenset()
    ) -> None:
        self.number = number
        self.tenants = tenants
        self._carry = np.array([False, carry])
        self.open: list[tuple[list[int], int, int]] = []
        self.wanted = [0] * (2 + len(tenants))
        self.smallest = [0] * (2 + len(tenants))
        self.granted = self.sequence = 0
        self.ledger = self._ledger()
        self.commit()

    def _ledger(self) -> Ledger:
        ledger = Ledger(NAMES, np.zeros(2, dtype=np.int64), self._carry)
        ledger.limit_tenants(self.tenants)
        return ledger

    def commit(self) -> None:
        self.sequence += 1
        self.log: tuple[Accounts, int, int, list[tuple[list[int], int, int]]] = (
            self.ledger.accounts(),
            self.granted,
            self.sequence,
            list(self.open),
        )

    def die(self) -> None:
        accounts, self.granted, self.sequence, kept = self.log
        self.ledger, self.open = self._ledger(), list(kept)
        self.ledger.restore(accounts)

    def take(self, model: int, amount: int, tenant: str = "") -> bool:
        """Hold an amount in the model's account, and in the tenant's where it has one."""
        numbers = [model, *self._own(tenant, NAMES[model])]
        free = self.ledger.free()
        for number in (number for number in numbers if free[number] < amount):
            self.wanted[number] += amount
            self.smallest[number] = min(self.smallest[number] or amount, amount)
        if (free[numbers] < amount).any():
            return False
        self.ledger.reserve(np.array(numbers), np.full(len(numbers), amount))
        self.open.append((numbers, amount, int(self.ledger.window[model])))
        return True

    def _own(self, tenant: str, model: str) -> list[int]:
        own = self.ledger.tenants.get(tenant, {})
        return [own[model]] if model in own else []

    def settle(self, position: int, actual: int) -> None:
        numbers, held, window = self.open.pop(position)
        for number in numbers:
            self.ledger.settle(number, held, min(actual, held), window)

    def roll(self) -> None:
        begins = self.ledger.window[self.ledger.models]
        begins[WINDOWED] += 1
        self.ledger.roll(begins)

    def apply(self, grant: ShareGrant) -> None:
        self.granted = apply_grant(self.ledger, self.granted, grant)

    def report(self) -> ShareReport:
        accounts, granted, sequence, _ = self.log
        message = ShareReport(
            partition=self.number,
            sequence=sequence,
            arrivals=0,
            granted=granted,
            models={
                name: ShareUse(
                    share=account.share,
                    reserved=account.reserved,
                    spent=account.spent,
                    window=account.window,
                    carried=account.carried,
                    wanted=self.wanted[i],
                    smallest=self.smallest[i],
                )
                for i, (name, account) in enumerate(accounts.items())
            },
        )
        self.wanted, self.smallest = [0] * len(self.wanted), [0] * len(self.wanted)
        return message
