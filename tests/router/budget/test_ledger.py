"""What must hold of a partition's money: nothing is overdrawn, nothing appears or vanishes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router.budget.ledger import Ledger, OverdrawnError, split

MODELS = ("cheap", "good")
amounts = st.integers(0, 2_000)


class LedgerMachine(RuleBasedStateMachine):
    """Any order of reservations, settlements and releases, beside a plain list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(MODELS, np.array([5_000, 3_000]))
        self.open: list[tuple[int, int]] = []
        self.spent = [0, 0]

    @rule(wanted=st.lists(st.tuples(st.integers(0, 1), amounts), max_size=5))
    def reserve(self, wanted: list[tuple[int, int]]) -> None:
        models = np.array([model for model, _ in wanted], dtype=np.int64)
        held = np.array([amount for _, amount in wanted], dtype=np.int64)
        before = self.ledger.accounts()
        try:
            self.ledger.reserve(models, held)
        except OverdrawnError:
            assert self.ledger.accounts() == before
        else:
            self.open += wanted

    @precondition(lambda self: self.open)
    @rule(data=st.data(), honest=st.booleans())
    def settle(self, data: st.DataObject, honest: bool) -> None:
        model, held = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        actual = data.draw(st.integers(0, held if honest else held + 100))
        assert self.ledger.settle(model, held, actual) == max(actual - held, 0)
        self.spent[model] += actual

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        model, held = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.ledger.release(model, held)

    @rule()
    def crash_and_restore(self) -> None:
        """A ledger that is rebuilt from its accounts is the same ledger."""
        found = self.ledger.accounts()
        self.ledger = Ledger(MODELS, np.zeros(2, dtype=np.int64))
        self.ledger.restore(found)
        assert self.ledger.accounts() == found

    @invariant()
    def the_accounts_are_the_sum_of_what_happened(self) -> None:
        for model, name in enumerate(MODELS):
            account = self.ledger.accounts()[name]
            assert account.reserved == sum(held for owner, held in self.open if owner == model)
            assert account.spent == self.spent[model]

    @invariant()
    def free_is_what_is_left_and_never_below_nothing(self) -> None:
        left = self.ledger.share - self.ledger.reserved - self.ledger.spent
        assert self.ledger.free().tolist() == [max(amount, 0) for amount in left.tolist()]


TestLedger = LedgerMachine.TestCase


@given(st.lists(st.tuples(st.integers(0, 1), amounts, st.integers(0, 2_000)), max_size=30))
def test_a_share_is_never_overrun_by_workers_that_honour_their_bound(
    steps: list[tuple[int, int, int]],
) -> None:
    """I3: spent + reserved <= share after every step."""
    ledger = Ledger(MODELS, np.array([5_000, 3_000]))
    for model, held, actual in steps:
        try:
            ledger.reserve(np.array([model]), np.array([held]))
        except OverdrawnError:
            continue
        assert (ledger.reserved + ledger.spent <= ledger.share).all()
        ledger.settle(model, held, min(actual, held))
        assert (ledger.reserved + ledger.spent <= ledger.share).all()


def test_a_reservation_that_does_not_fit_names_model_and_amounts() -> None:
    """The error says whose account was short, and by how much."""
    ledger = Ledger(MODELS, np.array([10, 10]))
    with pytest.raises(OverdrawnError, match="good: 11 nano-units asked, 10 free"):
        ledger.reserve(np.array([1]), np.array([11]))


def test_negative_amounts_are_refused() -> None:
    """Money never flows backwards through a reservation, a charge or a release."""
    ledger = Ledger(MODELS, np.array([10, 10]))
    for wrong in (
        lambda: ledger.reserve(np.array([0]), np.array([-1])),
        lambda: ledger.settle(0, 0, -1),
        lambda: ledger.release(0, -1),
        lambda: ledger.release(0, 1),
    ):
        with pytest.raises(ValueError, match=r"negative|to release"):
            wrong()


@given(st.integers(0, 10**15), st.integers(1, 64))
def test_shares_sum_to_the_limit_and_differ_by_one_at_most(limit: int, parts: int) -> None:
    """The remainder goes to the first partitions."""
    shares = split(limit, parts)
    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1
    assert shares == sorted(shares, reverse=True)
