"""What must hold of tenants' accounts beside their models', whatever happens in whatever order."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.budget.ledger import Accounts, Ledger, account_key, account_words, owner
from router.budget.shares import apply_grant
from router.budget.windows import HOUR, Calendar, Windowing
from schemas import ShareGrant

MODELS = ("cheap", "good")
BUDGETS = {"cheap": Windowing("day"), "good": Windowing("hour")}
LIMITS = {
    "cheap": 5_000,
    "good": 3_000,
    account_key("cheap", "shop"): 1_000,
    account_key("good", "shop"): 2_500,
    account_key("good", "bank"): 4_000,
}
TENANTS = frozenset(name for name in LIMITS if owner(name)[1])
limited = st.sampled_from([TENANTS, frozenset[str](), TENANTS - {account_key("good", "shop")}])


class Held(NamedTuple):
    accounts: tuple[str, ...]
    amount: int
    window: int


class TenantMachine(RuleBasedStateMachine):
    """One partition that has everything: its shares are cut and grown within the limits."""

    @initialize(carry=st.booleans())
    def begin(self, carry: bool) -> None:
        self.calendar = Calendar(BUDGETS)
        self.carry = carry
        self.ledger = self._new()
        for name, limit in LIMITS.items():
            if name in self.ledger.index:
                self.ledger.share[self.ledger.index[name]] = limit
        self.now, self.sequence = 1e9, 0
        self.open: list[Held] = []
        self.expired: list[Held] = []
        self.spent: dict[tuple[str, int], int] = {}
        self.over: dict[str, int] = {}
        self.ledger.limit_tenants(TENANTS)
        self.grant(dict.fromkeys(TENANTS, 4))
        self.at(0.0)

    def _new(self) -> Ledger:
        return Ledger(MODELS, np.zeros(2, dtype=np.int64), np.array([False, self.carry]))

    @rule(hours=st.floats(-0.5, 20.0))
    def at(self, hours: float) -> None:
        """A model's window ends: its tenants' accounts begin anew with it."""
        self.now += hours * HOUR
        self.ledger.roll(self.calendar.begins(self.now))

    @rule(
        model=st.sampled_from(MODELS),
        tenant=st.sampled_from([None, "shop", "bank", "guest"]),
        amount=st.integers(0, 1_500),
    )
    def reserve(self, model: str, tenant: str | None, amount: int) -> None:
        """As much as fits is held in every account that there is, or in none."""
        numbers = [self.ledger.index[model]]
        numbers += [n for m, n in self.ledger.tenants.get(tenant or "", {}).items() if m == model]
        if (self.ledger.free()[numbers] < amount).any():
            return
        self.ledger.reserve(np.array(numbers), np.full(len(numbers), amount))
        accounts = tuple(self.ledger.names[n] for n in numbers)
        assert accounts[1:] in [(), (account_key(model, tenant),)]
        self.open.append(Held(accounts, amount, int(self.ledger.window[numbers[0]])))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 100), part=st.floats(0, 1), overcharged=st.booleans())
    def settle(self, which: int, part: float, overcharged: bool) -> None:
        held = self.open.pop(which % len(self.open))
        self._charge(held, held.amount, held.amount + 7 if overcharged else int(held.amount * part))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 100))
    def expire(self, which: int) -> None:
        held = self.open.pop(which % len(self.open))
        for name in held.accounts:
            self.ledger.release(self.ledger.index[name], held.amount, held.window)
        self.expired.append(held)

    @precondition(lambda self: self.expired)
    @rule(which=st.integers(0, 100))
    def a_late_result(self, which: int) -> None:
        held = self.expired.pop(which % len(self.expired))
        windows = {self.ledger.accounts()[name].window for name in held.accounts}
        if windows == {held.window}:  # of earlier windows a ledger keeps what is reserved only
            self._charge(held, 0, held.amount)

    @rule(accounts=limited)
    def set_limits(self, accounts: frozenset[str]) -> None:
        """A limit that is lifted takes no reservation; what it holds stays until it is settled."""
        before = self.ledger.accounts()
        self.ledger.limit_tenants(accounts)
        for name, account in self.ledger.accounts().items():
            assert account.lifted == (name in TENANTS - accounts)
            assert account == before[name]._replace(lifted=account.lifted)

    @rule(parts=st.dictionaries(st.sampled_from(sorted(LIMITS)), st.integers(0, 4)))
    def grant(self, parts: dict[str, int]) -> None:
        """Shares move; a grant may have heard of a window before this partition has."""
        self.sequence += 1
        begins = self.calendar.latest(self.now)
        grant = ShareGrant(
            partition=0,
            sequence=self.sequence,
            models={name: LIMITS[name] * part // 4 for name, part in parts.items()},
            windows={name: begins[owner(name)[0]] for name in parts},
        )
        assert apply_grant(self.ledger, self.sequence - 1, grant) == self.sequence

    @rule()
    def kill(self) -> None:
        """A ledger that comes back from its accounts, as JSON, is the same ledger."""
        before, limits = self.ledger.accounts(), self.ledger.tenants
        holds = frozenset(account_key(m, t) for t, own in limits.items() for m in own)
        self.ledger = self._new()
        self.ledger.restore(msgspec.json.decode(msgspec.json.encode(before), type=Accounts))
        self.ledger.limit_tenants(holds)
        assert self.ledger.accounts() == before
        assert self.ledger.tenants.keys() == limits.keys()

    def _charge(self, held: Held, reserved: int, actual: int) -> None:
        for name in held.accounts:
            over = self.ledger.settle(self.ledger.index[name], reserved, actual, held.window)
            assert over == max(actual - reserved, 0)
            self.over[name] = self.over.get(name, 0) + over
            key = name, held.window
            self.spent[key] = self.spent.get(key, 0) + actual

    @invariant()
    def accounts_are_the_sums_of_what_happened(self) -> None:
        for name, account in self.ledger.accounts().items():
            now = {account.window: (account.reserved, account.spent)}
            for begin, (reserved, spent) in (now | dict(account.past)).items():
                mine = [h.amount for h in self.open if name in h.accounts and h.window == begin]
                assert reserved == sum(mine)
                assert spent <= self.spent.get((name, begin), 0)
            assert account.spent == self.spent.get((name, account.window), 0)

    @invariant()
    def nobody_is_above_its_limit(self) -> None:
        """But for what backends charged beyond what was held, or after its deadline."""
        for name, account in self.ledger.accounts().items():
            carried = min(account.carried, LIMITS[name])
            assert account.share <= LIMITS[name]
            used = account.reserved + account.spent - self.over.get(name, 0)
            assert used <= LIMITS[name] + carried

    @invariant()
    def tenants_use_no_more_than_their_model(self) -> None:
        accounts = self.ledger.accounts()
        for model in MODELS:
            own = [a for name, a in accounts.items() if owner(name)[0] == model and name != model]
            assert sum(a.reserved for a in own) <= accounts[model].reserved
            assert sum(a.spent for a in own) <= accounts[model].spent
            assert {a.window for a in own} <= {accounts[model].window}


TenantMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50)
TestTenants = TenantMachine.TestCase


def test_limits_of_unknown_models_wait_for_their_model() -> None:
    """An order may come before the model that it speaks of; its account is then as the model's."""
    ledger = Ledger(["cheap"], np.array([100]))
    limits = frozenset({account_key("new", "shop")})
    ledger.limit_tenants(limits)
    assert ledger.tenants == {}
    ledger.add("new", carry=True)
    ledger.roll(np.array([0, 3600]))
    ledger.limit_tenants(limits)
    assert ledger.tenants == {"shop": {"new": 2}}
    assert ledger.window.tolist() == [0, 3600, 3600]
    ledger.share[2] = 10
    ledger.roll(np.array([0, 7200]))
    assert ledger.free().tolist() == [100, 0, 20]


def test_a_tenants_account_needs_its_model() -> None:
    """It cannot be opened by itself, and one in a state whose model is gone is passed over."""
    ledger = Ledger(["cheap"], np.array([100]))
    with pytest.raises(KeyError):
        ledger.add(account_key("gone", "shop"))
    other = Ledger(["gone", account_key("gone", "shop")], np.array([5, 5]))
    ledger.restore(other.accounts())
    assert ledger.names == ("cheap",)


def test_accounts_have_names_for_people() -> None:
    """A model by its name, a tenant's use of it with the tenant in brackets."""
    assert account_words("cheap") == "cheap"
    assert account_words(account_key("cheap", "shop")) == "cheap (shop)"
    assert owner(account_key("cheap", "shop")) == ("cheap", "shop")
