"""The audit on books that a small router of the test's own keeps, right and falsified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from router.budget.holdings import holdings
from router.budget.ledger import Ledger, account_key, account_words
from router.models.catalog import Model, ModelCatalog
from schemas import Receipt, Result, Source
from schemas.wire import decode, encode
from streams.kafka.logs import Record
from streams.state.rows import STATE_KEY, Log, Position, Row, State, row_key
from streams.verify.audit import PartitionAudit, ReceiptLogs, audit

FLEET = ModelCatalog([Model("a", 0, 1_000_000), Model("b", 0, 1_000_000)])
SHARE = 1_000
SHOP = account_key("a", "shop")
"""The shop may use less of model a than others; of model b, as much."""
LOGS: tuple[Log, ...] = ("queries", "deferred")


class LedgerSnapshot:
    """One partition, kept as `streams.state.partition` does: rows and a state for each chunk."""

    def __init__(self) -> None:
        self.ledger = Ledger(FLEET.names, np.array([SHARE, SHARE]))
        self.ledger.limit_tenants(frozenset({SHOP}))
        self.ledger.share[self.ledger.index[SHOP]] = SHARE // 4
        self.receipts: dict[Log, list[Receipt]] = {"queries": [], "deferred": []}
        self.results: list[Record] = []
        self.changelog: list[Record] = []
        self.open: dict[str, Row] = {}
        self.over: set[str] = set()
        self.sequence = 0

    def decide(self, log: Log, wanted: Sequence[tuple[str | None, int]], tenant: str = "") -> None:
        """A chunk of decisions for one tenant; what has no room is deferred."""
        rows = {}
        for model, amount in wanted:
            offset = len(self.receipts[log])
            limited = model in self.ledger.tenants.get(tenant, {})
            names = [model, account_key(model, tenant)][: 2 if limited else 1] if model else []
            numbers = [self.ledger.index[name] for name in names]
            if model is not None and (self.ledger.free()[numbers] < amount).any():
                model = None
            receipt = Receipt(
                id=f"{log}-{offset}",
                decision_id=f"{log}/0/{offset}",
                decision="deferred" if model is None else "routed",
                reason="best",
                policy="primal-dual",
                source=Source(log, 0, offset),
                decided_at=1.0 + self.sequence,
                model=model,
                reserved=0 if model is None else amount,
                tenant=tenant if limited and model is not None else None,
                results_offset=len(self.results),
            )
            if model is not None:
                self.ledger.reserve(np.array(numbers), np.full(len(numbers), amount))
            self.receipts[log].append(receipt)
            rows[row_key(log, offset)] = Row(receipt=receipt)
        self.open |= rows
        self.commit(rows)

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """A chunk of results: (row key, cost); unknown keys and repetitions charge nothing."""
        over = []
        for key, cost in answers:
            row = self.open.get(key)
            log: Log = "queries" if key[0] == "q" else "deferred"
            model = "a" if row is None or row.receipt.model is None else row.receipt.model
            offset = int(key[1:])
            result = Result(
                id=f"{log}-{offset}",
                decision_id=f"{log}/0/{offset}",
                model=model,
                status_code=200,
                cost=cost,
            )
            self.results.append(record(len(self.results), None, encode(result)))
            if row is not None and row.receipt.model is not None:
                held = 0 if row.expired else row.receipt.reserved
                for account in self._numbers(row):
                    self.ledger.settle(account, held, cost)
                del self.open[key]
                over.append(key)
        self.commit({}, over)

    def expire(self, count: int) -> None:
        """Release the oldest reservations that are open."""
        due = [key for key, row in self.open.items() if row.receipt.model and not row.expired]
        rows = {key: structs.replace(self.open[key], expired=True) for key in due[:count]}
        for row in rows.values():
            for account in self._numbers(row):
                self.ledger.release(account, row.receipt.reserved)
        self.open |= rows
        self.commit(rows)

    def lift(self) -> None:
        """The shop's limit holds no more; what is reserved there settles all the same."""
        self.ledger.limit_tenants(frozenset())
        self.commit({})

    def _numbers(self, row: Row) -> list[int]:
        return [self.ledger.index[part.account] for part in holdings(row.receipt)]

    def commit(self, rows: dict[str, Row], removed: Sequence[str] = ()) -> None:
        self.sequence += 1
        state = State(
            queries=Position(*[len(self.receipts["queries"]) - 1] * 2),
            deferred=Position(*[len(self.receipts["deferred"]) - 1] * 2),
            settled=len(self.results) - 1,
            sequence=self.sequence,
            accounts=self.ledger.accounts(),
            removed=list(removed),
        )
        for key, row in rows.items():
            self.log(key.encode(), encode(row))
        self.log(STATE_KEY, encode(state))
        for key in removed:
            self.log(key.encode(), None)

    def log(self, key: bytes, value: bytes | None) -> None:
        self.changelog.append(record(len(self.changelog), key, value))

    def compacted(self) -> list[Record]:
        """The changelog with the last record of each key only."""
        last = {entry.key: entry for entry in self.changelog}
        return sorted(last.values(), key=lambda entry: entry.offset)

    def audit(
        self, changelog: Sequence[Record] | None = None, until: int | None = None
    ) -> PartitionAudit:
        of: dict[Log, Iterator[Receipt]] = {log: iter(self.receipts[log]) for log in LOGS}
        last: dict[Log, int] = {
            log: self.receipts[log][-1].source.offset if self.receipts[log] else -1 for log in LOGS
        }
        entries = self.changelog if changelog is None else changelog
        return audit(0, FLEET, ReceiptLogs(of, last), self.results, entries, until)


def record(offset: int, key: bytes | None, value: bytes | None) -> Record:
    return Record("topic", 0, offset, 0, key, value, ())


wishes = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(1, 200)), max_size=5)
keys = st.builds(row_key, st.sampled_from(LOGS), st.integers(0, 12))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.sampled_from(LOGS), wishes, st.sampled_from(["", "shop"])),
        st.tuples(st.just("lift")),
        st.tuples(st.just("settle"), st.lists(st.tuples(keys, st.integers(0, 300)), max_size=5)),
        st.tuples(st.just("expire"), st.integers(0, 3)),
    ),
    max_size=15,
)


def kept(moves: Sequence[tuple[Any, ...]]) -> LedgerSnapshot:
    books = LedgerSnapshot()
    for name, *arguments in moves:
        getattr(books, name)(*arguments)
    return books


def typical() -> LedgerSnapshot:
    """Decisions on both logs, some settled, one over its reservation, some open."""
    books = LedgerSnapshot()
    books.decide("queries", [("a", 100), ("b", 50), (None, 0), ("a", 30)])
    books.settle([(row_key("queries", 0), 80), (row_key("queries", 0), 80)])
    books.decide("deferred", [("b", 20)])
    books.settle([(row_key("deferred", 0), 25)])
    books.decide("queries", [("a", 10)], "shop")
    return books


def test_rows_of_a_chunk_that_was_cut_off_do_not_count() -> None:
    """Another commit came before the chunk was decided anew, and otherwise."""
    books = LedgerSnapshot()
    books.decide("queries", [("a", 100)])
    row = books.open[row_key("queries", 0)]
    cut = structs.replace(row.receipt, source=Source("queries", 0, 1), decision_id="queries/0/1")
    books.log(row_key("queries", 1).encode(), encode(Row(receipt=cut)))
    books.commit({})
    books.decide("queries", [(None, 0)])
    assert books.audit().differences == []


LATE = [  # of the shop's limit, 54 are charged after they were released and held once more
    ("decide", "queries", [("a", 54)], "shop"),
    ("expire", 1),
    ("decide", "queries", [("a", 1), ("a", 196)], "shop"),
    ("settle", [(row_key("queries", 0), 54)]),
]


@given(steps)
@example(LATE)
def test_right_books_show_no_difference(moves: Sequence[tuple[Any, ...]]) -> None:
    """Whatever comes in whatever order, honest books are equal at every state, compacted or not."""
    books = kept(moves)
    whole = books.audit()
    assert whole.differences == []
    assert whole.states == books.sequence
    if books.sequence:
        for name, number in books.ledger.index.items():
            assert whole.reference.reserved[name, 0] == books.ledger.reserved[number]
            assert whole.reference.spent[name, 0] == books.ledger.spent[number]
    assert books.audit(books.compacted()).differences == []


@given(steps, st.data())
def test_a_falsified_sum_is_found(moves: Sequence[tuple[Any, ...]], data: st.DataObject) -> None:
    """One nano-unit more in any account of any state record is a difference."""
    books = kept([("decide", "queries", [("a", 5)]), *moves])
    states = [i for i, entry in enumerate(books.changelog) if entry.key == STATE_KEY]
    place = data.draw(st.sampled_from(states))
    name, which = (
        data.draw(st.sampled_from(["a", "b", SHOP])),
        data.draw(st.sampled_from(["reserved", "spent"])),
    )
    entry = books.changelog[place]
    state = _state(entry)
    account = state.accounts[name]
    more = account._replace(**{which: getattr(account, which) + 1})
    accounts = {**state.accounts, name: more}
    false = entry._replace(value=encode(structs.replace(state, accounts=accounts)))
    changelog = [*books.changelog[:place], false, *books.changelog[place + 1 :]]
    found = books.audit(changelog).differences
    assert any(
        one.at == f"sequence {state.sequence}" and account_words(name) in one.what for one in found
    )


def test_a_falsified_receipt_is_found_by_its_query() -> None:
    """A receipt that says another reservation than the row written ahead is named."""
    books = typical()
    books.receipts["queries"][1] = structs.replace(books.receipts["queries"][1], reserved=51)
    found = books.audit().differences
    assert {one.query for one in found} >= {"queries-1"}
    assert any("reserved is 51, not 50" in one.what for one in found)


def test_a_receipt_that_hides_its_tenant_is_found() -> None:
    """The tenant's account holds what no receipt says was reserved there, or charged."""
    books = typical()
    books.receipts["queries"][-1] = structs.replace(books.receipts["queries"][-1], tenant=None)
    found = books.audit().differences
    assert any("tenant is None, not 'shop'" in one.what for one in found)
    assert any(one.what.startswith("a (shop): the ledger's reserved is 10") for one in found)


def test_a_lost_receipt_is_found() -> None:
    """A decision without a receipt leaves a sum that nothing explains, and a row without one."""
    books = typical()
    del books.receipts["queries"][1]
    found = books.audit().differences
    assert any("the ledger's reserved is 50" in one.what for one in found)
    assert any(one.query == "queries-1" and "the table holds" in one.what for one in found)


def test_a_receipt_that_has_left_and_is_gone_is_found_at_the_end() -> None:
    """The last receipts are waited for, unless a state says that they have left."""
    books = typical()
    del books.receipts["queries"][-1]
    found = books.audit()
    assert found.late == 1
    assert any("have left" in one.what for one in found.differences)


def test_receipts_on_their_way_are_no_difference() -> None:
    """A state that is ahead of the receipts is left for later."""
    books = typical()
    state = _state(books.changelog[-1])
    del books.receipts["queries"][-1]
    behind = structs.replace(state, queries=Position(state.queries.decided, 3))
    books.changelog[-1] = books.changelog[-1]._replace(value=encode(behind))
    found = books.audit()
    assert (found.late, found.differences) == (1, [])


def test_a_lost_charge_is_found_among_the_queries_of_its_chunk() -> None:
    """A result that the ledger charged and the log does not have is a difference of that state."""
    books = typical()
    books.results[0] = books.results[0]._replace(value=b"not json")
    books.results[1] = books.results[0]._replace(offset=1)
    found = books.audit().differences
    assert any(one.at == "sequence 2" and "spent is 80" in one.what for one in found)


def test_overcharging_backends_are_named_and_are_no_difference() -> None:
    """A charge above its reservation is counted to its model."""
    found = typical().audit()
    assert found.differences == []
    over = found.overcharges["b"]
    assert (over.answers, over.excess, over.worst_query, over.late) == (1, 5, "deferred-0", 0)


def test_an_account_above_its_share_is_found() -> None:
    """Invariant I3 is checked at every state, whatever the fold says."""
    books = LedgerSnapshot()
    books.decide("queries", [("a", 900)])
    books.ledger.share[0] = 899
    books.commit({})
    found = books.audit().differences
    assert [one.at for one in found] == ["sequence 2"]
    assert "more than its share 899" in found[0].what


def test_an_earlier_offset_can_be_asked_for() -> None:
    """With `until` the comparison stops at the last state that had decided no more."""
    found = typical().audit(until=3)
    assert found.state is not None
    assert found.state.queries.decided == 3
    assert found.state.sequence == 4
    assert found.differences == []


def _state(entry: Record) -> State:
    return decode(State, entry.value)
