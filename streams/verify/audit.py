"""Compare the live ledger's state records with the ledger that receipts and results add up to.

Nothing here touches a broker: one partition's receipts, results and changelog come in as
iterators, and differences go out as sentences (invariants I3, I4 and I7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from router.budget.holdings import holdings
from router.budget.ledger import account_words
from router.budget.reference_ledger import Charge, Entry, ReferenceLedger
from router.models.catalog import ModelCatalog
from schemas import Invalid, Receipt
from schemas.result import read_settlement
from streams.kafka.logs import Record
from streams.state.changelog import entries
from streams.state.rows import Log, Row, State, row_key, row_position

NAMED = 20
"""Most queries that one difference names."""


class Difference(NamedTuple):
    """A difference between the live ledger and the log.

    Attributes:
        partition: the query partition, or -1 where it is unknown.
        query: the query's id, or "" for a difference of sums.
        at: a decision id, or a state's sequence number.
        what: the difference, as a sentence.
    """

    partition: int
    query: str
    at: str
    what: str


@dataclass(slots=True)
class Overcharge:
    """What one account's answers cost above their reservations.

    Attributes:
        answers: number of such answers.
        late: how many of them came after their reservation had expired.
        excess: sum above the reservations, in the account's unit.
        worst: largest excess of one answer.
        worst_query: the id of its query.
    """

    answers: int = 0
    late: int = 0
    excess: int = 0
    worst: int = 0
    worst_query: str = ""

    def add(self, charge: Charge, entry: Entry) -> None:
        """Count an answer."""
        self.answers += 1
        self.late += charge.late
        self.excess += entry.excess
        if entry.excess > self.worst:
            self.worst, self.worst_query = entry.excess, charge.query


@dataclass(slots=True)
class PartitionAudit:
    """The audit of one partition.

    Attributes:
        partition: its number.
        reference: the ledger that the log adds up to, at `state`.
        state: the last state record compared; None if there was none.
        states: number of state records compared.
        late: states not compared, as their receipts are not in the topic yet.
        receipts: number of receipts read.
        charged: number of results charged.
        refused: number of results that charged nothing.
        differences: every difference found.
        overcharges: by account, what its answers cost above their reservations.
    """

    partition: int
    reference: ReferenceLedger
    state: State | None = None
    states: int = 0
    late: int = 0
    receipts: int = 0
    charged: int = 0
    refused: int = 0
    differences: list[Difference] = field(default_factory=list)
    overcharges: dict[str, Overcharge] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        """Number of open reservations at `state`."""
        return sum(not held.expired for held in self.reference.held.values())


class ReceiptLogs(NamedTuple):
    """A partition's receipts by log, each in order of offsets, and the last offset of each."""

    of: Mapping[Log, Iterator[Receipt]]
    last: Mapping[Log, int]


def audit(
    partition: int,
    catalog: ModelCatalog,
    receipts: ReceiptLogs,
    results: Iterable[Record],
    changelog: Iterable[Record],
    until: int | None = None,
) -> PartitionAudit:
    """Compare every state record of a partition with the ledger that the log adds up to.

    The changelog's end must be looked up before those of the other topics: then everything that a
    state calls published is among the receipts.

    Args:
        partition: its number.
        catalog: all models, those added at run time included.
        receipts: the partition's receipts.
        results: its results, from the first.
        changelog: its changelog, from the beginning.
        until: last offset of `queries` to compare; states beyond it are left out.
    """
    found = _Audit(partition, catalog, receipts, iter(results))
    for _, key, entry in entries(changelog):
        if isinstance(entry, State):
            if until is not None and entry.queries.decided > until:
                break
            if not found.covered(entry):
                found.audited.late += 1
                found.check_published(entry)
                break
            found.compare(entry)
        else:
            found.note(key, entry)
    found.compare_rows()
    return found.audited


class _Audit:
    """Walks over one partition's states; keeps open reservations in memory, never the log."""

    def __init__(
        self,
        partition: int,
        catalog: ModelCatalog,
        receipts: ReceiptLogs,
        results: Iterator[Record],
    ) -> None:
        self.audited = PartitionAudit(partition, ReferenceLedger(catalog))
        self._receipts = receipts
        self._heads: dict[Log, Receipt | None] = {
            log: next(some, None) for log, some in receipts.of.items()
        }
        self._results = results
        self._result = next(results, None)
        self._rows: dict[str, Row] = {}  # written ahead since the last state
        self._open: dict[str, Row] = {}  # the table's reservations at the last state
        self._windows: dict[str, int] = {}  # of each account, at the state being compared
        self._apart: Counter[tuple[str, str, int]] = Counter()  # ledger less reference, by sum
        self._perhaps_late: Counter[str] = Counter()  # charges that nobody can tell of any more

    def note(self, key: str, row: Row) -> None:
        """Keep a row until the state record that makes it count."""
        self._rows[key] = row

    def covered(self, state: State) -> bool:
        """Return whether all decisions of a state have receipts in the topic."""
        return (
            state.queries.decided <= self._receipts.last["queries"]
            and state.deferred.decided <= self._receipts.last["deferred"]
        )

    def check_published(self, state: State) -> None:
        """A receipt that is known to have left and is not there is lost."""
        for log, position in (("queries", state.queries), ("deferred", state.deferred)):
            last = self._receipts.last[log]  # type: ignore[index]  # the two names of Log
            if position.published > last:
                self._differ(
                    "",
                    f"sequence {state.sequence}",
                    f"receipts of {log} up to offset {position.published} have left, but the "
                    f"topic holds none above {last}",
                )

    def compare(self, state: State) -> None:
        """Bring the reference to where a state stands, and hold the two against each other."""
        audited = self.audited
        self._windows = {name: account.window for name, account in state.accounts.items()}
        before = audited.state.sequence if audited.state is not None else 0
        touched: list[tuple[str, str]] = [
            *self._decide("queries", state.queries.decided),
            *self._decide("deferred", state.deferred.decided),
            *self._expire(state),
            *self._settle(state.settled, compacted=state.sequence > before + 1),
        ]
        self._rows.clear()
        for key in state.removed:
            row = self._open.pop(key, None)
            if row is not None and row.expired:
                audited.reference.forget(row.receipt.decision_id)
        audited.state = state
        audited.states += 1
        self._compare_sums(state, touched)
        self._check_room(state)

    def compare_rows(self) -> None:
        """At the end: the table's open reservations are those of the reference, query by query."""
        reference = self.audited.reference.held
        table = {row.receipt.decision_id: row for row in self._open.values()}
        for decision in sorted(reference.keys() - table.keys()):
            held = reference[decision]
            self._differ(
                held.query,
                decision,
                f"{held.amount} reserved of {held.model} by its receipt and not settled, but the "
                "table holds no row for it",
            )
        for decision in sorted(table.keys() - reference.keys()):
            receipt = table[decision].receipt
            self._differ(
                receipt.id,
                decision,
                f"the table holds {receipt.reserved} reserved of {receipt.model}, but receipts "
                "and results say that nothing is open",
            )

    def _decide(self, log: Log, decided: int) -> Iterator[tuple[str, str]]:
        while (receipt := self._heads[log]) is not None and receipt.source.offset <= decided:
            self._heads[log] = next(self._receipts.of[log], None)
            self.audited.receipts += 1
            self.audited.reference.decide(receipt, self._windows)
            row = self._rows.get(row_key(log, receipt.source.offset))
            if row is not None and row.receipt != receipt:
                self._differ(receipt.id, receipt.decision_id, unlike(row.receipt, receipt))
            for part in holdings(receipt):
                yield part.account, receipt.id

    def _expire(self, state: State) -> Iterator[tuple[str, str]]:
        """Rows that count from this state on; those that say so were released at a deadline."""
        decided = {"queries": state.queries.decided, "deferred": state.deferred.decided}
        for key, row in self._rows.items():
            log, offset = row_position(key)
            if offset > decided[log]:  # of a chunk that was cut off: it is decided again
                continue
            if row.receipt.decision == "routed":
                self._open[key] = row
            if row.expired and (held := self.audited.reference.expire(row.receipt.decision_id)):
                for account in held.accounts:
                    yield account, held.query

    def _settle(self, settled: int, compacted: bool) -> Iterator[tuple[str, str]]:
        """compacted: the states between have left the log, and with them what says that a
        reservation had been released at its deadline before its result came."""
        audited = self.audited
        while (record := self._result) is not None and record.offset <= settled:
            self._result = next(self._results, None)
            try:
                result, _ = read_settlement(record.value)
                charge = audited.reference.settle(record.offset, result)
            except Invalid:
                charge = None
            if charge is None:
                audited.refused += 1
                continue
            audited.charged += 1
            for entry in charge.entries:
                if entry.excess:
                    audited.overcharges.setdefault(entry.account, Overcharge()).add(charge, entry)
                if compacted:
                    self._perhaps_late[entry.account] += entry.charged - entry.excess
                yield entry.account, charge.query

    def _compare_sums(self, state: State, touched: Iterable[tuple[str, str]]) -> None:
        """Name a sum where it parts from the reference, not again at each later state."""
        queries: dict[str, dict[str, None]] = {}
        for name, query in touched:
            queries.setdefault(name, {})[query] = None
        reference = self.audited.reference
        for name, account in state.accounts.items():
            held = {account.window: (account.reserved, account.spent), **account.past}
            for window, sums in held.items():
                ours = (reference.reserved[name, window], reference.spent[name, window])
                for which, theirs, own in zip(("reserved", "spent"), sums, ours, strict=True):
                    more = theirs - own - self._apart[which, name, window]
                    if not more:
                        continue
                    self._apart[which, name, window] = theirs - own
                    what = (
                        f"{account_words(name)}: the ledger's {which} is {theirs}, receipts and "
                        f"results make {own} ({more:+d} since the state before)"
                    )
                    for query in list(queries.get(name, {}))[:NAMED] or [""]:
                        self._differ(query, f"sequence {state.sequence}", what)

    def _check_room(self, state: State) -> None:
        """Invariant I3: above a share only by what backends charged beyond their reservations."""
        for name, account in state.accounts.items():
            over = self.audited.overcharges.get(name, Overcharge()).excess
            room = account.share + account.carried + over + self._perhaps_late[name]
            if account.reserved + account.spent > room:
                self._differ(
                    "",
                    f"sequence {state.sequence}",
                    f"{account_words(name)}: {account.spent} spent and {account.reserved} reserved "
                    f"are more than its share {account.share} (with {account.carried} carried "
                    f"over, and {over} that its backend overcharged)",
                )

    def _differ(self, query: str, at: str, what: str) -> None:
        self.audited.differences.append(Difference(self.audited.partition, query, at, what))


def unlike(wanted: Receipt, found: Receipt) -> str:
    """Describe the fields in which a receipt on the topic differs from the expected one."""
    parts = [
        f"{name} is {getattr(found, name)!r}, not {getattr(wanted, name)!r}"
        for name in wanted.__struct_fields__
        if getattr(wanted, name) != getattr(found, name)
    ]
    return f"its receipt differs: {'; '.join(parts) or 'other bytes for the same values'}"
