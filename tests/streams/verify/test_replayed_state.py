"""What must hold of a replayed state: its money is where the live partition's was."""

from __future__ import annotations

from msgspec import structs

from router.budget.ledger import Account, account_key
from schemas import Result
from schemas.wire import encode
from streams.kafka.logs import Record
from streams.state.rows import STATE_KEY, Position, Row, State, row_key
from streams.verify.replayed_state import LedgerAdjustment, ReplayedState, ledger_adjustments
from tests.support.recorded import FLEET, receipt

SHOP = account_key("small", "shop")


def entry(offset: int, key: bytes, value: State | Row) -> Record:
    return Record("changelog", 0, offset, 0, key, encode(value), ())


def state(decided: int, **shares: int) -> State:
    accounts = {name: Account(share, 0, 0) for name, share in shares.items()}
    return State(queries=Position(decided, -1), accounts=accounts)


def result(offset: int, cost: int) -> Record:
    answer = Result(
        id=f"q{offset}",
        decision_id=f"queries/0/{offset}",
        model="small",
        status_code=200,
        cost=cost,
    )
    return Record("results", 0, 0, 0, b"k", encode(answer), ())


def replayed(
    adjustments: list[LedgerAdjustment] | None = None, results: list[Record] | None = None
) -> ReplayedState:
    return ReplayedState(FLEET.names, FLEET, adjustments or [], results or [])


def test_only_changes_are_adjustments() -> None:
    """Shares that change, and releases; each after the decisions before its state record."""
    expired = Row(receipt=receipt(0), expired=True)
    records = [
        entry(0, STATE_KEY, state(0, small=10)),
        entry(1, STATE_KEY, state(1, small=10)),
        entry(2, STATE_KEY, state(2, small=20)),
        entry(3, row_key("queries", 0).encode(), expired),
        entry(4, STATE_KEY, state(2, small=20)),
    ]
    found = list(ledger_adjustments(records))
    assert [one.after["queries"] for one in found] == [-1, 1, 2]
    assert [one.accounts["small"].share for one in found] == [10, 20, 20]
    assert [one.released for one in found] == [[], [], ["queries/0/0"]]


def test_marks_that_are_taken_back_are_no_adjustments() -> None:
    """A commit that was cut off had written them; the next one wrote the row as it was."""
    row = Row(receipt=receipt(0))
    key = row_key("queries", 0).encode()
    for marked in (
        structs.replace(row, expired=True, marked=2),
        structs.replace(row, held=True, marked=2),
    ):
        records = [entry(0, STATE_KEY, state(0)), entry(1, key, marked), entry(2, key, row)]
        assert list(ledger_adjustments([*records, entry(3, STATE_KEY, state(0))])) == []


def test_adjustments_wait_for_their_decision() -> None:
    """A share that came after a chunk does not count for it."""
    adjustments = list(ledger_adjustments([entry(0, STATE_KEY, state(0, small=10))]))
    later = LedgerAdjustment({"queries": 4, "deferred": -1}, {"small": Account(30, 0, 0)}, [], [])
    one = replayed([*adjustments, later])
    one.catch_up("queries", receipt(0))
    assert one.ledger.share.tolist() == [10, 0]
    one.catch_up("queries", receipt(4))
    assert one.ledger.share.tolist() == [10, 0]
    one.catch_up("queries", receipt(5))
    assert one.ledger.share.tolist() == [30, 0]


def test_results_are_settled_up_to_the_receipt_s_offset() -> None:
    """What an adopted decision holds becomes what its answer cost."""
    one = replayed(results=[result(0, 40)])
    one.adopt("queries", receipt(0))
    one.catch_up("queries", receipt(1))
    assert (one.ledger.reserved.tolist(), one.settled) == ([100, 0], -1)
    one.catch_up("queries", structs.replace(receipt(1), results_offset=1))
    assert (one.ledger.reserved.tolist(), one.settled) == ([0, 0], 0)
    assert one.ledger.spent.tolist() == [40, 0]


def test_a_release_gives_back_what_was_held() -> None:
    """At the deadline, once."""
    released = LedgerAdjustment({"queries": 0, "deferred": -1}, {}, ["queries/0/0"], [])
    one = replayed([released, released])
    one.adopt("queries", receipt(0))
    one.catch_up("queries", receipt(1))
    assert one.ledger.reserved.tolist() == [0, 0]


def test_ids_of_queries_are_remembered() -> None:
    """Those that were taken, of the log of new queries alone."""
    one = replayed()
    one.record_decision("queries", receipt(0))
    one.record_decision("queries", structs.replace(receipt(1), decision="rejected", model=None))
    one.record_decision("deferred", receipt(2, log="deferred"))
    assert one.recent.seen(["q0", "q1", "q2"]) == [True, False, False]


def test_accounts_of_tenants_follow_the_states() -> None:
    """One whose limit was lifted keeps its account, and is not enforced."""
    limited = {"small": Account(10, 0, 0), SHOP: Account(7, 0, 0)}
    lifted = limited | {SHOP: Account(7, 0, 0, lifted=True)}
    before: dict[str, dict[str, Account]] = {"limited": limited, "lifted": lifted}
    for name, accounts in before.items():
        one = replayed([LedgerAdjustment({"queries": -1, "deferred": -1}, accounts, [], [])])
        one.catch_up("queries", receipt(0))
        assert SHOP in one.ledger.index
        assert bool(one.ledger.tenants) == (name == "limited")


def test_what_is_held_beyond_its_deadline_is_settled_from_its_reservation() -> None:
    """Its id is a new query's from the deadline on, and its result does not end that one."""
    held = LedgerAdjustment({"queries": 0, "deferred": -1}, {}, [], ["queries/0/0"])
    one = replayed([held], results=[result(0, 40)])
    one.record_decision("queries", receipt(0))
    one.adopt("queries", receipt(0))
    one.catch_up("queries", receipt(1))
    assert one.ledger.reserved.tolist() == [100, 0]
    assert one.recent.seen(["q0"]) == [False]
    one.record_decision("queries", structs.replace(receipt(2), id="q0"))
    one.catch_up("queries", structs.replace(receipt(3), results_offset=1))
    assert (one.ledger.reserved.tolist(), one.ledger.spent.tolist()) == ([0, 0], [40, 0])
    assert one.recent.seen(["q0"]) == [True]
