"""The money of one partition: its share of every model's budget, to the nano-unit.

Invariant I3, for each account and budget window: spent + reserved ≤ share + carried, unless a
backend charged more than was reserved for it (`Ledger.settle` returns by how much). All amounts are
integer nano-units of the budget's currency.

An account belongs to a model, or to one tenant's use of a model (`account_key`). What is reserved
or charged for a tenant with an account of its own is so in both.
A window is identified by the Unix second at which it begins (`windows.py`), 0 for budgets that have
none. A share is a slice of each window's limit: at a roll-over it stays, while what was spent and
reserved of it remains with the window that reserved it. A tenant's account is always in its model's
window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.arrays import Ints


class Account(NamedTuple):
    """One account, JSON-ready. Amounts are nano-units.

    Attributes:
        share: The partition's share of the limit.
        reserved: Held for queries under way in the current window.
        spent: Charged in the current window.
        window: Begin of the current window, Unix seconds.
        carried: Left over by the window before.
        past: (reserved, spent) of earlier windows by their begin; kept while something is reserved
            there, the last one until the next roll-over.
        lifted: Whether this is a tenant's limit that no longer applies: only what is reserved there
            still settles.
    """

    share: int
    reserved: int
    spent: int
    window: int = 0
    carried: int = 0
    past: Mapping[int, tuple[int, int]] = {}
    lifted: bool = False


Accounts = dict[str, Account]
"""Accounts by name."""
_TENANT = "\t"


class OverdrawnError(ValueError):
    """A reservation exceeds its share. The policy that asked for it is at fault."""


class Ledger:
    """Shares, reservations and spending by account. A: accounts, M: those of models.

    Its 13 attributes are the columns of one table (share, reserved, spent, window, carried, …) and
    the numbers of its rows; splitting them would put one row's invariant into two classes.
    """

    def __init__(
        self, names: Sequence[str], shares: Ints, carry: NDArray[np.bool_] | None = None
    ) -> None:
        """Open accounts.

        Args:
            names: Account names (`account_key`); a tenant's account comes after its model's.
            shares: int64[A] nano-units, in the order of `names`.
            carry: bool[A], whose unspent money is carried over into the next window (once: what is
                left of it then expires). None for no account.
        """
        self.names: tuple[str, ...] = ()
        self.index: dict[str, int] = {}
        self.models: Ints = np.empty(0, dtype=np.int64)
        """int64[M]: the numbers of the accounts of models, in their order."""
        self.tenants: dict[str, dict[str, int]] = {}
        """By tenant and model, the number of each account of a tenant whose limit holds."""
        self.share = np.array(shares, dtype=np.int64)
        self.reserved = np.zeros(len(names), dtype=np.int64)
        self.spent = np.zeros(len(names), dtype=np.int64)
        self.window = np.zeros(len(names), dtype=np.int64)
        self.carried = np.zeros(len(names), dtype=np.int64)
        self._carry = np.zeros(len(names), dtype=np.bool_) if carry is None else carry
        self._past: list[dict[int, tuple[int, int]]] = [{} for _ in names]
        self._owner: Ints = np.empty(0, dtype=np.int64)
        self._limits: frozenset[str] | None = None
        self._name(names)

    def add(self, name: str, carry: bool = False) -> None:
        """Open an empty account. A tenant's takes window and carry-over from its model's.

        Args:
            name: The account's name.
            carry: Whether unspent money is carried over.

        Raises:
            KeyError: The model of a tenant's account has no account.
        """
        model, tenant = owner(name)
        begin = 0
        if tenant is not None:
            begin, carry = int(self.window[self.index[model]]), bool(self._carry[self.index[model]])
        self.share = np.append(self.share, 0)
        self.reserved = np.append(self.reserved, 0)
        self.spent = np.append(self.spent, 0)
        self.window = np.append(self.window, begin)
        self.carried = np.append(self.carried, 0)
        self._carry = np.append(self._carry, carry)
        self._past.append({})
        self._name([name])

    def limit_tenants(self, accounts: frozenset[str]) -> None:
        """Set which tenants' limits apply.

        A new account is empty. One that is no longer named keeps what it holds until that is
        settled, and takes no reservation. Models without an account are skipped.

        Args:
            accounts: Names by `account_key`.
        """
        if accounts == self._limits:
            return
        self.tenants = {}
        for name in sorted(accounts):
            model, tenant = owner(name)
            if tenant is not None and model in self.index:
                if name not in self.index:
                    self.add(name)
                self.tenants.setdefault(tenant, {})[model] = self.index[name]
        self._limits = accounts

    def lifted(self, account: int) -> bool:
        """Return whether an account, by number, is of a tenant's limit that does not apply."""
        limit, tenant = owner(self.names[account])
        return tenant is not None and limit not in self.tenants.get(tenant, {})

    def free(self) -> Ints:
        """Return int64[A] nano-units that may still be reserved, never below 0."""
        free: Ints = np.maximum(self.share + self.carried - self.reserved - self.spent, 0)
        return free

    def drawn(self) -> Ints:
        """Return int64[A] nano-units of the shares themselves that are spent or reserved.

        No share may fall below it.
        """
        drawn: Ints = np.maximum(self.reserved + self.spent - self.carried, 0)
        return drawn

    def reserve(self, accounts: Ints, amounts: Ints) -> None:
        """Reserve amounts in the current windows: all or none.

        Args:
            accounts: int64[n] account numbers.
            amounts: int64[n] nano-units.

        Raises:
            OverdrawnError: An account has no room.
            ValueError: An amount is negative.
        """
        if len(amounts) and amounts.min() < 0:
            raise ValueError("a reservation is not negative")
        wanted = np.zeros_like(self.reserved)
        np.add.at(wanted, accounts, amounts)
        short = np.flatnonzero(wanted > self.free())
        if len(short):
            one = short[0]
            raise OverdrawnError(
                f"{self.names[one]}: {wanted[one]} nano-units asked, {self.free()[one]} free"
            )
        self.reserved += wanted

    def settle(self, model: int, reserved: int, actual: int, window: int | None = None) -> int:
        """Replace a reservation by the actual charge, in the window that reserved it.

        A result that comes after its reservation was released is settled with reserved 0.

        Args:
            model: The account's number.
            reserved: Nano-units to release.
            actual: Nano-units charged.
            window: Begin of the window that reserved; None for the current one.

        Returns:
            The excess of `actual` over `reserved`; 0 for a worker that honours its bound.

        Raises:
            ValueError: Less is reserved there, or the charge is negative.
        """
        if actual < 0:
            raise ValueError("a charge is not negative")
        self._move(model, window, reserved, actual)
        return max(actual - reserved, 0)

    def release(self, model: int, reserved: int, window: int | None = None) -> None:
        """Give a reservation back.

        Args:
            model: The account's number.
            reserved: Nano-units to release.
            window: Begin of the window that reserved; None for the current one.

        Raises:
            ValueError: Less than that is reserved.
        """
        self._move(model, window, reserved, 0)

    def roll(self, begins: Ints) -> bool:
        """Advance accounts to later windows.

        A tenant's account goes with its model's. Earlier windows are ignored: a clock that goes
        back changes nothing.

        Args:
            begins: int64[M], the begin of each model's window, Unix seconds.

        Returns:
            Whether any account advanced.
        """
        begins = self.begins_of(begins)
        rolled = np.flatnonzero(begins > self.window).tolist()
        first = self.window == 0  # a budget's first window has none before it
        left = np.where(self._carry & ~first, np.minimum(self.free(), self.share), 0)
        for i in rolled:
            past = {begin: held for begin, held in self._past[i].items() if held[0]}
            past[int(self.window[i])] = (int(self.reserved[i]), int(self.spent[i]))
            self._past[i] = past
            self.window[i], self.carried[i] = begins[i], left[i]
            self.reserved[i] = self.spent[i] = 0
        return bool(rolled)

    def begins_of(self, begins: Ints) -> Ints:
        """Return the window of each account, int64[A], by the begins of the limits', int64[M]."""
        return begins[self._owner]

    def accounts(self) -> Accounts:
        """Return all accounts, JSON-ready, by name."""
        columns = (self.share, self.reserved, self.spent, self.window, self.carried)
        numbers = (column.tolist() for column in columns)
        holds = {i for accounts in self.tenants.values() for i in accounts.values()}
        holds.update(self.models.tolist())
        lifted = [i not in holds for i in range(len(self.names))]
        rows = map(Account, *numbers, map(dict, self._past), lifted)
        return dict(zip(self.names, rows, strict=True))

    def restore(self, accounts: Mapping[str, Account]) -> None:
        """Replace accounts by those that `accounts()` returned.

        Accounts that are not named stay as they are, and models without an account here are
        skipped. A tenant's limit applies only where `limit_tenants` says so.
        """
        for name, account in accounts.items():
            if name not in self.index and not self._is_tenants(name):
                continue
            if name not in self.index:
                self.add(name)
            i = self.index[name]
            self.share[i], self.reserved[i], self.spent[i] = account[:3]
            self.window[i], self.carried[i] = account.window, account.carried
            self._past[i] = dict(account.past)

    def _is_tenants(self, name: str) -> bool:
        model, tenant = owner(name)
        return tenant is not None and model in self.index

    def _name(self, names: Sequence[str]) -> None:
        """Number new accounts, and tell models from tenants."""
        self.index |= {name: i for i, name in enumerate(names, start=len(self.names))}
        self.names += tuple(names)
        models = [name for name in self.names if owner(name)[1] is None]
        self.models = np.array([self.index[name] for name in models], dtype=np.int64)
        place = {name: i for i, name in enumerate(models)}
        self._owner = np.array([place[owner(name)[0]] for name in self.names], dtype=np.int64)
        self._limits = None  # a tenant's limit may have waited for its model

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
    """Return the name of a model's account, or of one tenant's account for it.

    Names hold no control characters, so the tab cannot be part of either.
    """
    return model if tenant is None else f"{model}{_TENANT}{tenant}"


def owner(account: str) -> tuple[str, str | None]:
    """Return the model of an account, and its tenant; None for a model's own account."""
    model, tab, tenant = account.partition(_TENANT)
    return model, tenant if tab else None


def account_words(account: str) -> str:
    """Return an account's name for people: its model, and the tenant in brackets."""
    model, tenant = owner(account)
    return model if tenant is None else f"{model} ({tenant})"


def split(limit: int, parts: int) -> list[int]:
    """Cut a limit into whole shares that sum to it; the remainder goes to the first ones."""
    each, rest = divmod(limit, parts)
    return [each + (part < rest) for part in range(parts)]
