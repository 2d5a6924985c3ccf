"""Take every decision again from the log, and hold it against its receipt, byte for byte (I6).

A decision follows from its record, the index (history) and the prices that its receipt names, the
chunk it was decided with and the money that was left. Chunks are runs of receipts with one
`decided_at`; money follows from the decisions before, the results that the receipt says had been
folded, and the changelog's shares, budget windows and releases at deadlines.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, cast

import numpy as np

from router.budget.ledger import Account, Ledger, owner
from router.budget.reference_ledger import ReferenceLedger, accounts_of
from router.estimation.scorer import QueryScorer
from router.policies.base import Policy
from schemas import Invalid, Prices, Receipt, Result
from schemas.wire import decode, encode
from streams.control.registry import Registry
from streams.kafka.logs import Record
from streams.kafka.topics import Topics
from streams.routing.arrivals import parse
from streams.routing.build import Parts
from streams.routing.decide import Context, decide, estimate
from streams.routing.reindex import Indexes
from streams.state.changelog import entries
from streams.state.partition import Partition
from streams.state.recent_ids import RecentIds
from streams.state.rows import Log, State
from streams.verify.audit import Difference, unlike

Chunk = Sequence[tuple[Receipt, bytes]]
"""Receipts of one chunk and their bytes, by offset."""


class LedgerAdjustment(NamedTuple):
    """What moved money beside decisions and results, as a state record shows it.

    after: offsets that had been decided before, by log; accounts: from then on; released:
    decision ids whose reservations were given back at their deadline.
    """

    after: dict[Log, int]
    accounts: dict[str, Account]
    released: list[str]


@dataclass(slots=True)
class Retaken:
    """What came of one partition. decisions: taken again; adopted: believed as they stand, as
    they are outside of the time asked for, or what they rest on is no longer in the log.
    """

    partition: int
    decisions: int = 0
    adopted: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def adopt(self, count: int, why: str) -> None:
        """Count decisions that cannot be taken again; `why` is "" where none was asked for."""
        self.adopted += count
        if why:
            self.missing[why] = self.missing.get(why, 0) + count


class Versions:
    """Policies at every version of their prices that the log still holds."""

    def __init__(self, new_policy: Callable[[], Policy], records: Iterable[Record]) -> None:
        """`records` are those of the topic `prices`, taken as a router takes them."""
        self._first: dict[str | None, Policy] = {}
        self._other = new_policy()
        self._records: dict[int, bytes] = {}
        newest = 0
        for record in records:
            try:
                prices = decode(Prices, record.value)
                if prices.policy != self._other.name or prices.version <= newest:
                    continue
                self._other.restore(prices.state)
            except (Invalid, ValueError):
                continue
            newest = prices.version
            self._records[newest] = record.value or b""

    def at(self, version: int, parts: Parts) -> Policy | None:
        """The policy with the prices of a version, the first of which are made from the history
        of `parts`; None where they have been compacted away."""
        if version == 0:
            if parts.core.index not in self._first:
                self._first[parts.core.index] = parts.new_policy()
            return self._first[parts.core.index]
        if version not in self._records:
            return None
        self._other.restore(decode(Prices, self._records[version]).state)
        return self._other


def beside(changelog: Iterable[Record]) -> Iterator[LedgerAdjustment]:
    """What the state records of a partition show, where it changed."""
    after: dict[Log, int] = {"queries": -1, "deferred": -1}
    settings: dict[str, tuple[int, int, bool]] = {}
    released: list[str] = []
    for _, _, entry in entries(changelog):
        if isinstance(entry, State):
            now = {
                name: (one.share, one.window, one.lifted) for name, one in entry.accounts.items()
            }
            if released or now != settings:
                yield LedgerAdjustment(after, dict(entry.accounts), released)
                settings, released = now, []
            after = {"queries": entry.queries.decided, "deferred": entry.deferred.decided}
        elif entry.expired:
            released.append(entry.receipt.decision_id)


class Reader:
    """Records of one partition by runs of offsets, in order."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self._next = next(records, None)

    def between(self, first: int, last: int) -> list[Record]:
        """The records with first <= offset <= last; those before are passed over."""
        found = []
        while self._next is not None and self._next.offset <= last:
            if self._next.offset >= first:
                found.append(self._next)
            self._next = next(self._records, None)
        return found


class _Unheard:
    """Takes the wishes of a policy that a live partition would report."""

    def add(self, model: int, amount: int) -> None:
        """Nobody listens here."""


class DecisionReplayer:
    """Decides one partition's records again."""

    def __init__(
        self,
        indexes: Indexes,
        topics: Topics,
        versions: Versions,
        partition: int,
        events: Iterable[LedgerAdjustment],
        results: Iterable[Record],
        orders: Sequence[Record] = (),
        whole_since: float = math.inf,
    ) -> None:
        """`indexes`: of all versions that receipts may name; `events` as `beside` gives them;
        `results` of the partition, from the first; orders: all records of `control`; whole_since:
        Unix seconds, what is younger has not been compacted.
        """
        self.done = Retaken(partition)
        self._indexes = indexes
        self._cores: dict[str | None, QueryScorer] = {}
        self._versions = versions
        self._logs = topics.logs
        catalog = indexes.now.core.known
        self._known = len(catalog)
        self._orders = deque(orders)
        self._followed: list[int] = []
        self._whole_since = whole_since * 1000
        self._registry = Registry(models=catalog.names)
        self._fold = ReferenceLedger(
            catalog.extended(Registry.of(orders, models=catalog.names).newcomers())
        )
        self.ledger = Ledger(catalog.names, np.zeros(len(catalog), dtype=np.int64))
        self.unmet = _Unheard()
        self.recent = RecentIds()
        self.readmitted: dict[Log, int] = {"queries": -1, "deferred": -1}
        self._events = deque(events)
        self._results = iter(results)
        self._result = next(self._results, None)
        self.settled = -1  # `decide` puts it on receipts

    def take(
        self,
        receipts: Iterable[tuple[Receipt, bytes]],
        records: Mapping[Log, Reader],
        asked: Callable[[Log, int], bool],
    ) -> Iterator[Receipt]:
        """Yield each decision as it is taken again, or as it stands where it is adopted.

        receipts: in the order of the decisions; records: of both logs; asked: whether
        a log's offset is to be taken again.
        """
        for (_, topic), run in groupby(
            receipts, lambda one: (one[0].decided_at, one[0].source.topic)
        ):
            chunk, log = list(run), self._logs[topic]
            self._follow(chunk[0][0].control_version)
            self._catch_up(log, chunk[0][0])
            first, last = chunk[0][0].source.offset, chunk[-1][0].source.offset
            if not (asked(log, first) and asked(log, last)):
                yield from self._adopt(chunk, "")
                continue
            found = records[log].between(first, last)
            gone = {one.source.offset for one, _ in chunk} - {record.offset for record in found}
            parts = self._indexes.at(chunk[0][0].index)
            version = chunk[0][0].price_version
            policy = self._versions.at(version, parts) if parts is not None else None
            if gone:
                yield from self._adopt(chunk, f"their records have left the topic {topic}")
            elif parts is None:
                yield from self._adopt(chunk, "their index is not kept (sluice index build --keep)")
            elif policy is None:
                yield from self._adopt(chunk, "their prices have been compacted away")
            elif not self._orders_are_whole(chunk[0][0].control_version):
                yield from self._adopt(chunk, "orders before them have been compacted away")
            else:
                yield from self._again(chunk, found, parts, policy)

    def _again(
        self, chunk: Chunk, records: list[Record], parts: Parts, policy: Policy
    ) -> Iterator[Receipt]:
        core = self._core(parts)
        estimated = estimate(core, parse(records, core.catalog, core.embedder), [])
        first, catalog = chunk[0][0], core.catalog
        context = Context(
            core,
            parts.with_trials(policy, catalog),
            first.price_version,
            first.decided_at,
            _room(one for one, _ in chunk),
            self._registry.open(catalog.names),
            self.recent if self._logs[first.source.topic] == "queries" else None,
            first.control_version,
        )
        rows = decide(estimated, context, cast(Partition, self))
        logged = {receipt.source.offset: (receipt, data) for receipt, data in chunk}
        for offset in sorted(rows):
            receipt = rows[offset].receipt
            self._hold(receipt)
            self.done.decisions += 1
            if offset not in logged:
                self._differ(receipt, "decided, as later records are, but it has no receipt")
            elif encode(receipt) != logged[offset][1]:
                self._differ(receipt, unlike(receipt, logged[offset][0]))
            yield receipt

    def _adopt(self, chunk: Chunk, why: str) -> Iterator[Receipt]:
        self.done.adopt(len(chunk), why)
        for receipt, _ in chunk:
            for account in self._numbers(accounts_of(receipt.model or "", receipt.tenant)):
                self.ledger.reserved[account] += receipt.reserved
            self._hold(receipt)
            yield receipt

    def _follow(self, version: int) -> None:
        """Take the orders that were known when a chunk was decided."""
        while self._orders and self._orders[0].offset < version:
            order = self._orders.popleft()
            self._registry.read(order.key, order.value, order.offset)
            self._followed.append(order.offset)
        for name in self._registry.added:
            if name not in self.ledger.index:
                self.ledger.add(name)

    def _core(self, parts: Parts) -> QueryScorer:
        """What estimates on an index, with the models that orders have added until now."""
        core = self._cores.get(parts.core.index, parts.core)
        if len(core.catalog) < self._known + len(self._registry.added):
            core = parts.core.with_newcomers(self._registry.newcomers())
        self._cores[parts.core.index] = core
        return core

    def _orders_are_whole(self, version: int) -> bool:
        """Whether those that counted at a version are all in the log. Compaction may have removed
        one for the sake of another that came later; the later one is old then.
        """
        if len(self._followed) == version:
            return True
        if self._orders:
            return self._orders[0].timestamp >= self._whole_since
        return bool(self._followed) and self._followed[-1] == version - 1

    def _catch_up(self, log: Log, first: Receipt) -> None:
        """Bring the money to where it stood when a chunk was decided."""
        self._settle(first.results_offset)
        while self._events and self._events[0].after[log] < first.source.offset:
            self._apply(self._events.popleft())

    def _settle(self, results: int) -> None:
        """Fold the results before offset `results`."""
        while (record := self._result) is not None and record.offset < results:
            self._result = next(self._results, None)
            try:
                result = decode(Result, record.value)
            except Invalid:
                continue
            held = self._fold.held.get(result.decision_id)
            charge = self._fold.settle(record.offset, result)
            if held is not None and charge is not None:
                for account in self._numbers(charge.accounts):
                    self.ledger.settle(account, charge.released, charge.cost, held.window)
        self.settled = results - 1

    def _apply(self, event: LedgerAdjustment) -> None:
        for decision in event.released:
            if (held := self._fold.expire(decision)) is not None:
                for number in self._numbers(held.accounts):
                    self.ledger.release(number, held.amount, held.window)
        self._limit_tenants(event.accounts)
        own = {
            self.ledger.index[name]: account
            for name, account in event.accounts.items()
            if name in self.ledger.index
        }
        begins = self.ledger.window.copy()
        for i, account in own.items():
            begins[i] = account.window
        self.ledger.roll(begins[self.ledger.models])
        for i, account in own.items():
            self.ledger.share[i], self.ledger.carried[i] = account.share, account.carried

    def _limit_tenants(self, accounts: Mapping[str, Account]) -> None:
        """Have the accounts of tenants that a state has; only those whose limits hold count."""
        of_tenants = {name for name in accounts if owner(name)[1] is not None}
        for name in sorted(of_tenants - self.ledger.index.keys()):
            if owner(name)[0] in self.ledger.index:
                self.ledger.add(name)
        self.ledger.limit_tenants(frozenset(n for n in of_tenants if not accounts[n].lifted))

    def _numbers(self, accounts: Iterable[str]) -> list[int]:
        """The ledger's numbers of the accounts that it has."""
        index = self.ledger.index
        return [index[name] for name in accounts if name in index]

    def _hold(self, receipt: Receipt) -> None:
        """Let the fold know of a reservation, and in which window it was made."""
        window = 0
        taken = receipt.decision in ("routed", "deferred")
        if taken and self._logs[receipt.source.topic] == "queries":
            self.recent.add([receipt.id])
        if receipt.model in self.ledger.index:
            window = int(self.ledger.window[self.ledger.index[receipt.model]])
        self._fold.decide(receipt, window)

    def _differ(self, receipt: Receipt, what: str) -> None:
        self.done.differences.append(
            Difference(self.done.partition, receipt.id, receipt.decision_id, what)
        )


def _room(receipts: Iterable[Receipt]) -> int:
    """How many queries of a chunk could be deferred, as far as it mattered: the number that still
    waited then is nowhere else in the log."""
    all_of_it = list(receipts)
    if any(receipt.reason == "budget_exceeded" for receipt in all_of_it):
        return sum(receipt.decision == "deferred" for receipt in all_of_it)
    return sys.maxsize
