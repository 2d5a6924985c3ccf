"""The money of one partition: its share of every model's budget, to the nano-unit.

Invariant I3, for each account and budget window: spent + reserved <= share + carried, unless a
backend charged more than was reserved for it (`settle` says by how much). All amounts are integer
nano-units of the budget's currency.

An account is a model, or a model and a tenant (`account_key`); a ledger does not care which.
A window is known by the Unix second at which it begins (router/windows.py); 0 for budgets that
have none. A share is a slice of each window's limit: at a roll-over it stays, and what was spent
and reserved of it stays behind, with the window that reserved it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.arrays import Ints


class Account(NamedTuple):
    """One account, JSON-ready.

    carried: what was left over by the window before; past: (reserved, spent) of earlier windows
    by their begin, kept while something is reserved there, the last one until the next roll-over.
    """

    share: int
    reserved: int
    spent: int
    window: int = 0
    carried: int = 0
    past: Mapping[int, tuple[int, int]] = {}


Accounts = dict[str, Account]
"""Accounts by name."""


class OverdrawnError(ValueError):
    """A reservation that its share cannot hold. The policy that asked for it is at fault."""


class Ledger:
    """Shares, reservations and spending, one account a name."""

    def __init__(
        self, names: Sequence[str], shares: Ints, carry: NDArray[np.bool_] | None = None
    ) -> None:
        """`shares` is int64[M], in the order of `names`; carry: bool[M], whose unspent money is
        carried over into the next window (once: what is left of it then is gone).
        """
        self.names = tuple(names)
        self.index = {name: i for i, name in enumerate(self.names)}
        self.share = np.array(shares, dtype=np.int64)
        self.reserved = np.zeros(len(self.names), dtype=np.int64)
        self.spent = np.zeros(len(self.names), dtype=np.int64)
        self.window = np.zeros(len(self.names), dtype=np.int64)
        self.carried = np.zeros(len(self.names), dtype=np.int64)
        self._carry = np.zeros(len(self.names), dtype=np.bool_) if carry is None else carry
        self._past: list[dict[int, tuple[int, int]]] = [{} for _ in self.names]

    def free(self) -> Ints:
        """What may still be reserved: int64[M], never below 0."""
        free: Ints = np.maximum(self.share + self.carried - self.reserved - self.spent, 0)
        return free

    def drawn(self) -> Ints:
        """What is gone or held of the shares themselves: int64[M]. No share may fall below it."""
        drawn: Ints = np.maximum(self.reserved + self.spent - self.carried, 0)
        return drawn

    def reserve(self, models: Ints, amounts: Ints) -> None:
        """Hold `amounts` int64[n] for `models` int64[n] in their current window, all or none.

        Raises OverdrawnError where an account has no room, ValueError for a negative amount.
        """
        if len(amounts) and amounts.min() < 0:
            raise ValueError("a reservation is not negative")
        wanted = np.zeros_like(self.reserved)
        np.add.at(wanted, models, amounts)
        short = np.flatnonzero(wanted > self.free())
        if len(short):
            model = short[0]
            raise OverdrawnError(
                f"{self.names[model]}: {wanted[model]} nano-units asked, {self.free()[model]} free"
            )
        self.reserved += wanted

    def settle(self, model: int, reserved: int, actual: int, window: int | None = None) -> int:
        """Turn a reservation into what was really charged, in the window that reserved it.

        window: its begin, None for the current one. Returns the excess of `actual` over `reserved`
        (0 for a worker that honours its bound). Raises ValueError where less is reserved there
        than is to be released. A result that comes after its reservation was released is settled
        with reserved 0.
        """
        if actual < 0:
            raise ValueError("a charge is not negative")
        self._move(model, window, reserved, actual)
        return max(actual - reserved, 0)

    def release(self, model: int, reserved: int, window: int | None = None) -> None:
        """Give a reservation back. Raises ValueError where less than that is reserved."""
        self._move(model, window, reserved, 0)

    def roll(self, begins: Ints) -> bool:
        """Take every account on to the window that begins at `begins` int64[M], if that is later.

        Earlier windows are passed over: a clock that goes back changes nothing. Returns whether
        an account went on.
        """
        rolled = np.flatnonzero(begins > self.window).tolist()
        left = np.where(self._carry, np.minimum(self.free(), self.share), 0)
        for i in rolled:
            past = {begin: held for begin, held in self._past[i].items() if held[0]}
            past[int(self.window[i])] = (int(self.reserved[i]), int(self.spent[i]))
            self._past[i] = past
            self.window[i], self.carried[i] = begins[i], left[i]
            self.reserved[i] = self.spent[i] = 0
        return bool(rolled)

    def accounts(self) -> Accounts:
        """Return all accounts, JSON-ready, by name."""
        columns = (self.share, self.reserved, self.spent, self.window, self.carried)
        numbers = (column.tolist() for column in columns)
        rows = map(Account, *numbers, map(dict, self._past))
        return dict(zip(self.names, rows, strict=True))

    def restore(self, accounts: Mapping[str, Account]) -> None:
        """Take over `accounts()`. Names that it lacks stay as they are, others are passed over."""
        for name, account in accounts.items():
            if (i := self.index.get(name)) is not None:
                self.share[i], self.reserved[i], self.spent[i] = account[:3]
                self.window[i], self.carried[i] = account.window, account.carried
                self._past[i] = dict(account.past)

    def _move(self, model: int, window: int | None, reserved: int, spent: int) -> None:
        current = int(self.window[model])
        begin = current if window is None else window
        if begin == current:
            held, gone = int(self.reserved[model]), int(self.spent[model])
        else:
            held, gone = self._past[model].get(begin, (0, 0))
        if begin > current or not 0 <= reserved <= held:
            raise ValueError(
                f"{self.names[model]}: {reserved} to release, {held} reserved in window {begin}"
            )
        if begin == current:
            self.reserved[model], self.spent[model] = held - reserved, gone + spent
        else:
            self._past[model][begin] = held - reserved, gone + spent


def account_key(model: str, tenant: str | None = None) -> str:
    """Name the account of a model, or of one tenant's use of it.

    Names hold no control characters, so the tab cannot be part of either.
    """
    return model if tenant is None else f"{model}\t{tenant}"


def split(limit: int, parts: int) -> list[int]:
    """Cut a limit into whole shares that sum to it; the remainder goes to the first parts."""
    each, rest = divmod(limit, parts)
    return [each + (part < rest) for part in range(parts)]
