"""The ledger folded from receipts and results: against the running one, and in any order."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from router.budget.charges import MAX_CHARGE
from router.budget.ledger import Ledger, account_key
from router.budget.reference_ledger import ReferenceLedger
from router.models.catalog import Model, ModelCatalog
from schemas import Receipt, Result, Source
from schemas.result import Usage

FLEET = ModelCatalog([Model("a", 1_000_000, 2_000_000), Model("b", 0, 5_000_000)])
Event = tuple[int, int, int]


def receipt(
    number: int,
    model: str | None,
    reserved: int = 10,
    since: int = 0,
    tenant: str | None = None,
) -> Receipt:
    return Receipt(
        id=f"q{number}",
        decision_id=f"queries/0/{number}",
        decision="deferred" if model is None else "routed",
        reason="best",
        policy="primal-dual",
        source=Source("queries", 0, number),
        decided_at=1.0 + number,
        model=model,
        reserved=reserved if model else 0,
        tenant=tenant if model else None,
        results_offset=since,
    )


def result(number: int, model: str, cost: int | None, usage: Usage | None = None) -> Result:
    return Result(
        id=f"q{number}",
        decision_id=f"queries/0/{number}",
        model=model,
        status_code=200,
        cost=cost,
        usage=usage,
    )


amounts = st.integers(0, 1000)
decisions = st.lists(st.tuples(st.sampled_from(["a", "b", None]), amounts), max_size=12)
answers = st.lists(st.tuples(st.integers(0, 14), st.sampled_from(["a", "b"]), amounts), max_size=20)


@given(decisions, answers)
def test_fold_equals_the_running_ledger(
    made: Sequence[tuple[str | None, int]], answered: Sequence[tuple[int, str, int]]
) -> None:
    """Whatever results come (twice, strange, for other models), both keep the same sums."""
    ledger, fold = Ledger(FLEET.names, np.full(2, 10**9)), ReferenceLedger(FLEET)
    still: dict[int, tuple[str, int]] = {}
    for number, (model, reserved) in enumerate(made):
        fold.decide(receipt(number, model, reserved))
        if model is not None:
            still[number] = (model, reserved)
            ledger.reserve(np.array([FLEET.index[model]]), np.array([reserved]))
    for offset, (number, model, cost) in enumerate(answered):
        charge = fold.settle(offset, result(number, model, cost))
        held = still.get(number)
        assert (charge is not None) == (held is not None and held[0] == model)
        if held is not None and charge is not None:
            excess = ledger.settle(FLEET.index[model], held[1], cost)
            assert charge.excess == excess
            del still[number]
    for i, name in enumerate(FLEET.names):
        assert fold.reserved[name, 0] == ledger.reserved[i]
        assert fold.spent[name, 0] == ledger.spent[i]
    if not still:
        assert not any(fold.reserved.values())  # I4


@given(decisions, answers, st.randoms(use_true_random=False))
def test_order_of_decisions_does_not_matter(
    made: Sequence[tuple[str | None, int]],
    answered: Sequence[tuple[int, str, int]],
    random: Random,
) -> None:
    """Receipts of two logs may be folded in any order before the results that follow them."""
    receipts = [receipt(number, *one) for number, one in enumerate(made)]
    one, other = ReferenceLedger(FLEET), ReferenceLedger(FLEET)
    for each in receipts:
        one.decide(each)
    random.shuffle(receipts)
    for each in receipts:
        other.decide(each)
    for offset, (number, model, cost) in enumerate(answered):
        answer = result(number, model, cost)
        assert one.settle(offset, answer) == other.settle(offset, answer)
    assert (one.reserved, one.spent) == (other.reserved, other.spent)


def test_a_result_before_its_decision_charges_nothing() -> None:
    """A result that had been folded when the decision was taken was nobody's."""
    fold = ReferenceLedger(FLEET)
    fold.decide(receipt(0, "a", since=1))
    assert fold.settle(0, result(0, "a", 5)) is None
    charge = fold.settle(1, result(0, "a", 5))
    assert charge is not None
    assert fold.spent["a", 0] == 5


def test_late_results_are_charged_and_release_nothing_twice() -> None:
    """After the deadline a reservation is gone, yet its result still costs."""
    fold = ReferenceLedger(FLEET)
    fold.decide(receipt(0, "a"))
    assert fold.expire("queries/0/0") is not None
    assert fold.expire("queries/0/0") is None
    assert fold.reserved["a", 0] == 0
    charge = fold.settle(0, result(0, "a", 7))
    assert charge is not None
    assert charge.late
    assert charge.excess == 7
    assert (fold.reserved["a", 0], fold.spent["a", 0]) == (0, 7)


def test_what_is_forgotten_is_not_charged() -> None:
    """A result that comes after the row has gone is refused; an open reservation stays."""
    fold = ReferenceLedger(FLEET)
    fold.decide(receipt(0, "a"))
    fold.decide(receipt(1, "a"))
    fold.expire("queries/0/0")
    for number in (0, 1):
        fold.forget(f"queries/0/{number}")
    assert fold.settle(0, result(0, "a", 7)) is None
    assert fold.settle(1, result(1, "a", 7)) is not None


def test_windows_are_kept_apart() -> None:
    """A charge belongs to the budget window that reserved it."""
    fold = ReferenceLedger(FLEET)
    fold.decide(receipt(0, "a"), {"a": 3600})
    fold.decide(receipt(1, "a"), {"a": 7200})
    fold.settle(0, result(0, "a", 4))
    assert (fold.spent["a", 3600], fold.reserved["a", 3600]) == (4, 0)
    assert (fold.spent["a", 7200], fold.reserved["a", 7200]) == (0, 10)


@given(decisions, answers, st.sets(st.integers(0, 12)))
def test_tenants_accounts_are_the_sums_of_their_own_queries(
    made: Sequence[tuple[str | None, int]],
    answered: Sequence[tuple[int, str, int]],
    shops: set[int],
) -> None:
    """A tenant's account moves with its receipts, and its model's moves as if there were none."""
    fold, alone, plain = ReferenceLedger(FLEET), ReferenceLedger(FLEET), ReferenceLedger(FLEET)
    for number, one in enumerate(made):
        own = number in shops
        fold.decide(receipt(number, *one, tenant="shop" if own else None))
        plain.decide(receipt(number, *one))
        if own:
            alone.decide(receipt(number, *one))
    for expired in shops:
        for each in (fold, alone, plain):
            each.expire(f"queries/0/{expired + 3}")
    for offset, (number, model, cost) in enumerate(answered):
        for each in (fold, alone, plain):
            each.settle(offset, result(number, model, cost))
    for name in FLEET.names:
        key = account_key(name, "shop"), 0
        assert (fold.reserved[key], fold.spent[key]) == (
            alone.reserved[name, 0],
            alone.spent[name, 0],
        )
        assert fold.reserved[name, 0] == plain.reserved[name, 0]
        assert fold.spent[name, 0] == plain.spent[name, 0]


def test_of_an_impossible_cost_the_reservation_is_charged() -> None:
    """As the router does: the call was made; the next result counts nothing."""
    fold = ReferenceLedger(FLEET)
    fold.decide(receipt(0, "a"))
    charge = fold.settle(0, result(0, "a", MAX_CHARGE + 1))
    assert charge is not None
    assert (charge.released, charge.cost) == (10, 10)
    assert fold.settle(1, result(0, "a", 1)) is None
