"""Re-executes every decision from the log, and compares it with its receipt byte for byte (I6).

A decision follows from its record, the index (history) and the prices that its receipt names, the
chunk it was decided with and the money that was left. Chunks are runs of receipts with one
`decided_at`; money follows from the decisions before, the results that the receipt says had been
settled, and the changelog's shares, budget windows and releases at deadlines.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from msgspec.structs import replace

from schemas import Receipt
from schemas.wire import encode
from streams.kafka.logs import Record
from streams.kafka.topics import Topics
from streams.routing.arrivals import parse
from streams.routing.decide import DecisionContext, decide, estimate
from streams.routing.decider import Decider
from streams.routing.reindex import Indexes
from streams.state.rows import Log
from streams.verify.audit import Difference, unlike
from streams.verify.replayed_control import PriceVersions, ReplayedControl
from streams.verify.replayed_state import LedgerAdjustment, ReplayedState

LoggedReceipts = Sequence[tuple[Receipt, bytes]]
"""Receipts of one chunk and their bytes, by offset."""


@dataclass(slots=True)
class PartitionReplay:
    """The outcome of one partition.

    Attributes:
        partition: Its number.
        decisions: Number of decisions that were re-executed.
        adopted: Number of decisions that were taken as they stand: they are outside of the time
            asked for, or the log no longer holds what they depend on.
        missing: Of these, the number for each thing that the log no longer holds.
        differences: Decisions that came out differently.
    """

    partition: int
    decisions: int = 0
    adopted: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def adopt(self, count: int, why: str) -> None:
        """Count decisions that are not re-executed; `why` is "" where none was asked for."""
        self.adopted += count
        if why:
            self.missing[why] = self.missing.get(why, 0) + count


class OffsetReader:
    """Reads the records of one partition by runs of offsets, in order."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self._next = next(records, None)

    def between(self, first: int, last: int) -> list[Record]:
        """Return the records with first <= offset <= last; those before are skipped."""
        found = []
        while self._next is not None and self._next.offset <= last:
            if self._next.offset >= first:
                found.append(self._next)
            self._next = next(self._records, None)
        return found


class DecisionReplayer:
    """Re-executes the decisions of one partition."""

    def __init__(
        self,
        indexes: Indexes,
        topics: Topics,
        versions: PriceVersions,
        partition: int,
        adjustments: Iterable[LedgerAdjustment],
        results: Iterable[Record],
        commands: Sequence[Record] = (),
        complete_since: float = math.inf,
    ) -> None:
        """Args:
        indexes: Of all versions that receipts may name.
        topics: Their names.
        versions: Of the prices.
        partition: The partition's number.
        adjustments: From `ledger_adjustments`.
        results: Of the partition, from the first.
        commands: All records of `control`.
        complete_since: Unix seconds; younger commands have not been compacted.
        """
        self.done = PartitionReplay(partition)
        self._indexes = indexes
        self._logs = topics.logs
        self._versions = versions
        known, taken = indexes.now.scorer.known, indexes.now.taken_names
        self._control = ReplayedControl(known, taken, commands, complete_since)
        limits = tuple(indexes.now.limits.index)
        self._state = ReplayedState(
            limits, self._control.complete, adjustments, results, indexes.now.attempts
        )

    def replay(
        self,
        receipts: Iterable[tuple[Receipt, bytes]],
        records: Mapping[Log, OffsetReader],
        asked: Callable[[Log, int], bool],
    ) -> Iterator[Receipt]:
        """Yield each decision as it is re-executed, or as it stands where it is adopted.

        Args:
            receipts: With their bytes, in the order of the decisions.
            records: Of both logs.
            asked: Returns whether a log's offset is to be re-executed.
        """
        for (_, topic), run in groupby(
            receipts, lambda one: (one[0].decided_at, one[0].source.topic)
        ):
            chunk, log = list(run), self._logs[topic]
            first, last = chunk[0][0], chunk[-1][0]
            self._state.add_models(self._control.follow(first.control_version))
            self._state.catch_up(log, first)
            if not (asked(log, first.source.offset) and asked(log, last.source.offset)):
                yield from self._adopt(chunk, log, "")
                continue
            found = records[log].between(first.source.offset, last.source.offset)
            if {one.source.offset for one, _ in chunk} - {record.offset for record in found}:
                yield from self._adopt(chunk, log, f"their records have left the topic {topic}")
                continue
            decider = self._decider(first)
            if isinstance(decider, Decider):
                yield from self._again(chunk, log, found, decider)
            else:
                yield from self._adopt(chunk, log, decider)

    def _decider(self, first: Receipt) -> Decider | str:
        """Return what has decided a chunk, or what of it the log no longer holds."""
        parts = self._indexes.at(first.index)
        if parts is None:
            return "their index is not kept (sluice index build --keep)"
        policy = self._versions.at(first.price_version, parts)
        if policy is None:
            return "their prices have been compacted away"
        if not self._control.is_complete(first.control_version):
            return "orders before them have been compacted away"
        observed = self._versions.observed(first.price_version)
        return self._control.decider(parts, policy, observed, first)

    def _again(
        self, chunk: LoggedReceipts, log: Log, records: Sequence[Record], decider: Decider
    ) -> Iterator[Receipt]:
        scorer = decider.scorer
        prepared = estimate(scorer, parse(records, scorer.catalog, scorer.embedder, log))
        room = _room([receipt for receipt, _ in chunk])
        context = DecisionContext(decider, log, chunk[0][0].decided_at, room)
        rows = decide(prepared, context, self._state)
        logged = {receipt.source.offset: (receipt, data) for receipt, data in chunk}
        for offset in sorted(rows):
            receipt = rows[offset].receipt
            self._state.record_decision(log, receipt)
            self.done.decisions += 1
            if offset not in logged:
                self._differ(receipt, "decided, as later records are, but it has no receipt")
            elif encode(_as_told(receipt, logged[offset][0])) != logged[offset][1]:
                self._differ(receipt, unlike(receipt, logged[offset][0]))
            yield receipt

    def _adopt(self, chunk: LoggedReceipts, log: Log, why: str) -> Iterator[Receipt]:
        self.done.adopt(len(chunk), why)
        for receipt, _ in chunk:
            self._state.adopt(log, receipt)
            yield receipt

    def _differ(self, receipt: Receipt, what: str) -> None:
        self.done.differences.append(
            Difference(self.done.partition, receipt.id, receipt.decision_id, what)
        )


def _as_told(receipt: Receipt, logged: Receipt) -> Receipt:
    """Leave out of a receipt what older routers did not tell."""
    if logged.prompt_bytes or logged.images:
        return receipt
    return replace(receipt, prompt_bytes=0, text=None, images=0)


def _room(receipts: Sequence[Receipt]) -> int:
    """Return how many queries of a chunk could be deferred, as far as it mattered.

    The number of queries that were waiting at the time is nowhere else in the log.
    """
    if any(receipt.reason == "budget_exceeded" for receipt in receipts):
        return sum(receipt.decision == "deferred" for receipt in receipts)
    return sys.maxsize
