"""Routers as the tests of shares know them: a ledger, a changelog, and reports."""

from __future__ import annotations

import numpy as np

from router.ledger import Accounts, Ledger
from router.shares import apply_grant
from schemas import ShareGrant, ShareReport, ShareUse

NAMES = ("cheap", "good")
WINDOWED = 1
"""Position of the account that has windows; they are numbered 0, 1, 2, …"""


class Router:
    """One partition: its ledger, and the changelog that a kill takes it back to."""

    def __init__(self, number: int, carry: bool = False) -> None:
        self.number = number
        self._carry = np.array([False, carry])
        self.open: list[tuple[int, int, int]] = []
        self.wanted = [0, 0]
        self.smallest = [0, 0]
        self.granted = self.sequence = 0
        self.ledger = self._ledger()
        self.commit()

    def _ledger(self) -> Ledger:
        return Ledger(NAMES, np.zeros(2, dtype=np.int64), self._carry)

    def commit(self) -> None:
        self.sequence += 1
        self.log: tuple[Accounts, int, int, list[tuple[int, int, int]]] = (
            self.ledger.accounts(),
            self.granted,
            self.sequence,
            list(self.open),
        )

    def die(self) -> None:
        accounts, self.granted, self.sequence, kept = self.log
        self.ledger, self.open = self._ledger(), list(kept)
        self.ledger.restore(accounts)

    def take(self, model: int, amount: int) -> bool:
        if self.ledger.free()[model] < amount:
            self.wanted[model] += amount
            self.smallest[model] = min(self.smallest[model] or amount, amount)
            return False
        self.ledger.reserve(np.array([model]), np.array([amount]))
        self.open.append((model, amount, int(self.ledger.window[model])))
        return True

    def settle(self, position: int, actual: int) -> None:
        model, held, window = self.open.pop(position)
        self.ledger.settle(model, held, min(actual, held), window)

    def roll(self) -> None:
        begins = self.ledger.window.copy()
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
        self.wanted, self.smallest = [0, 0], [0, 0]
        return message
