"""What must hold of a ledger across roll-overs: each window pays for what it reserved."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from router.budget.ledger import Accounts, Ledger, account_key
from router.budget.windows import HOUR, Calendar, Windowing

NAMES = ("cheap", "good")
BUDGETS = {"cheap": Windowing(), "good": Windowing("hour")}
SHARES = [5_000, 3_000]
WINDOWED = 1


class Held(NamedTuple):
    model: int
    amount: int
    window: int


class RolloverMachine(RuleBasedStateMachine):
    """Time goes on, and back a little, while reservations of any age are settled."""

    @initialize(carry=st.booleans())
    def begin(self, carry: bool) -> None:
        self.calendar = Calendar(BUDGETS)
        self.carry = np.array([False, carry])
        self.ledger = Ledger(NAMES, np.array(SHARES), self.carry)
        self.now = 1e9
        self.open: list[Held] = []
        self.expired: list[Held] = []
        self.spent: dict[tuple[int, int], int] = {}
        self.saved = 0
        self.at(0.0)

    @rule(hours=st.floats(-0.5, 3.0))
    def at(self, hours: float) -> None:
        """The caller tells the time; nothing of the new window is used yet."""
        before = self.ledger.window.copy()
        free = int(self.ledger.free()[WINDOWED])
        self.now += hours * HOUR
        begins = self.calendar.begins(self.now)
        later = bool(begins[WINDOWED] > before[WINDOWED])
        assert self.ledger.roll(begins) == later
        if later:
            carries = self.carry[WINDOWED] and before[WINDOWED]
            self.saved = min(free, SHARES[WINDOWED]) if carries else 0
            account = self.ledger.accounts()["good"]
            assert account.share + account.carried == SHARES[WINDOWED] + self.saved
            assert self.ledger.free()[WINDOWED] == SHARES[WINDOWED] + self.saved
            kept = {begin for begin, (reserved, _) in account.past.items() if not reserved}
            assert kept <= {int(before[WINDOWED])}
        assert self.ledger.window[0] == 0

    @rule(model=st.integers(0, 1), amount=st.integers(0, 2_000))
    def reserve(self, model: int, amount: int) -> None:
        if amount <= self.ledger.free()[model]:
            self.ledger.reserve(np.array([model]), np.array([amount]))
            self.open.append(Held(model, amount, int(self.ledger.window[model])))

    @rule(which=st.integers(0, 100), part=st.floats(0, 1))
    def settle(self, which: int, part: float) -> None:
        if self.open:
            held = self.open.pop(which % len(self.open))
            self._charge(held, held.amount, int(held.amount * part))

    @rule(which=st.integers(0, 100))
    def expire(self, which: int) -> None:
        if self.open:
            held = self.open.pop(which % len(self.open))
            self.ledger.release(held.model, held.amount, held.window)
            self.expired.append(held)

    @rule(which=st.integers(0, 100))
    def a_late_result(self, which: int) -> None:
        """Charged in full, though nothing is held for it any more."""
        windowed = [held for held in self.expired if held.model == WINDOWED]
        if windowed:
            held = windowed[which % len(windowed)]
            self.expired.remove(held)
            self._charge(held, 0, held.amount)

    @rule()
    def kill(self) -> None:
        """A ledger that comes back from its accounts, as JSON, is the same ledger."""
        before = self.ledger.accounts()
        self.ledger = Ledger(NAMES, np.zeros(2, dtype=np.int64), self.carry)
        self.ledger.restore(msgspec.json.decode(msgspec.json.encode(before), type=Accounts))
        assert self.ledger.accounts() == before

    def _charge(self, held: Held, reserved: int, actual: int) -> None:
        excess = self.ledger.settle(held.model, reserved, actual, held.window)
        assert excess == max(actual - reserved, 0)
        key = held.model, held.window
        self.spent[key] = self.spent.get(key, 0) + actual

    @invariant()
    def each_window_holds_what_it_reserved_and_was_charged(self) -> None:
        for model, name in enumerate(NAMES):
            account = self.ledger.accounts()[name]
            now = {account.window: (account.reserved, account.spent)}
            for begin, (reserved, spent) in (now | dict(account.past)).items():
                held = sum(h.amount for h in self.open if (h.model, h.window) == (model, begin))
                assert reserved == held
                assert spent <= self.spent.get((model, begin), 0)
            assert account.spent == self.spent.get((model, account.window), 0)

    @invariant()
    def every_open_reservation_is_somewhere(self) -> None:
        for model, name in enumerate(NAMES):
            account = self.ledger.accounts()[name]
            mine = [held for held in self.open if held.model == model]
            past = sum(reserved for reserved, _ in account.past.values())
            assert account.reserved + past == sum(held.amount for held in mine)


RolloverMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50)
TestRollover = RolloverMachine.TestCase


@given(st.lists(st.integers(0, 1000), max_size=10))
def test_what_was_saved_is_there_for_one_window(amounts: list[int]) -> None:
    """Carried money never exceeds one share, however long nothing is spent."""
    ledger = Ledger(("good",), np.array([1000]), np.array([True]))
    for begin, amount in enumerate(amounts, start=1):
        ledger.roll(np.array([begin]))
        free = int(ledger.free()[0])
        assert free <= 2000
        ledger.reserve(np.array([0]), np.array([min(amount, free)]))


def test_the_first_window_has_nothing_to_carry_over() -> None:
    """A budget that has only just begun may spend its limit, not twice that."""
    ledger = Ledger(("good",), np.array([1000]), np.array([True]))
    ledger.roll(np.array([3600]))
    assert ledger.free().tolist() == [1000]
    ledger.roll(np.array([7200]))
    assert ledger.free().tolist() == [2000]


def test_without_carry_over_each_window_begins_with_its_share() -> None:
    """What the window before did not spend is gone."""
    ledger = Ledger(NAMES, np.array(SHARES))
    ledger.roll(np.array([0, 3600]))
    assert ledger.free().tolist() == SHARES


def test_nothing_can_be_released_in_a_window_to_come() -> None:
    """The error names account, amounts and window."""
    ledger = Ledger(NAMES, np.array(SHARES))
    for settle in (lambda: ledger.settle(1, 0, 5, 3600), lambda: ledger.release(1, 5, 3600)):
        with pytest.raises(ValueError, match=r"good: \d to release, 0 reserved in window 3600"):
            settle()


def test_a_tenants_account_is_not_its_models() -> None:
    """The names of accounts do not run into one another."""
    keys = {account_key("a"), account_key("a", "b"), account_key("ab"), account_key("a", "")}
    assert len(keys) == 4
