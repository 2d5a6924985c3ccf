"""Replay a log: re-execute its decisions, or read its queries for other policies to decide."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.wire import encode
from streams.control.registry import Registry
from streams.kafka.logs import Logs, Span
from streams.kafka.topics import COMPACTION_LAG, Topics
from streams.routing.build import Parts
from streams.routing.reindex import Indexes
from streams.state.rows import Log
from streams.verify.audit import PartitionAudit
from streams.verify.decision_replay import DecisionReplayer, OffsetReader, PartitionReplay
from streams.verify.ledger_snapshot import LOGS, LedgerSnapshot, ProgressCallback
from streams.verify.receipt_store import ReceiptStore
from streams.verify.replay_dataset import ReplayDataset, build_dataset
from streams.verify.replayed_control import PriceVersions
from streams.verify.replayed_state import ledger_adjustments

TaskFactory = Callable[[str, int], ProgressCallback]
"""(description, total) -> a callback that takes the amount done since its last call."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Result of `verify`.

    Attributes:
        replayed: re-executed decisions, by query partition.
        audited: the live ledger compared with the ledger that these decisions make.
        refused: receipts that could not be used: query partition or -1, decision id, reason.
    """

    replayed: Sequence[PartitionReplay]
    audited: Sequence[PartitionAudit]
    refused: Sequence[tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class Source:
    """A log to replay.

    Attributes:
        logs: the broker's logs.
        topics: names of the topics.
        since: first time of a query's record to include, Unix seconds; None for the beginning.
        until: first time to exclude, Unix seconds; None for the end.
    """

    logs: Logs
    topics: Topics
    since: float | None = None
    until: float | None = None

    def spans(self, log: Log) -> list[Span]:
        """Return the records of a log within `since` and `until`, by partition."""
        topic = self.topics.queries if log == "queries" else self.topics.deferred
        return self.logs.spans(topic, self.since, self.until)


def verify(indexes: Indexes, source: Source, new_task: TaskFactory) -> Verified:
    """Re-execute every decision of a log, and compare its receipts and ledger.

    Args:
        indexes: the current index and those kept beside it.
        source: the log. Decisions outside its time are taken from their receipts.
        new_task: called for each step, to report progress.

    Raises:
        LogError: the log's beginning has been deleted.
    """
    logs, topics = source.logs, source.topics
    snapshot = LedgerSnapshot.open(logs, topics)
    asked = {log: source.spans(log) for log in LOGS}
    parts = indexes.now
    versions = PriceVersions(parts.new_policy, logs.read(logs.spans(topics.prices)))
    commands = list(logs.read(logs.spans(topics.control)))
    newcomers = Registry.of(commands, models=parts.taken_names).newcomers()
    catalog = parts.scorer.known.extended(newcomers)
    with ReceiptStore(topics) as receipt_store, ReceiptStore(topics) as taken:
        _read_receipts(snapshot, logs, receipt_store, new_task)
        size = sum(span.size for spans in asked.values() for span in spans)
        deciding = new_task("re-executing decisions", size)
        replayed = []
        for number, (changelog, results) in enumerate(
            zip(snapshot.changelog, snapshot.results, strict=True)
        ):
            spans = {log: asked[log][number : number + 1] for log in LOGS}
            adjustments = ledger_adjustments(logs.read([changelog]))
            replayer = DecisionReplayer(
                indexes,
                topics,
                versions,
                number,
                adjustments,
                logs.read([results]),
                commands,
                time.time() - COMPACTION_LAG["control"],
            )
            readers = {log: OffsetReader(logs.read(spans[log], deciding)) for log in LOGS}

            def within(log: Log, offset: int, spans: dict[Log, list[Span]] = spans) -> bool:
                return any(span.start <= offset < span.end for span in spans[log])

            for receipt in replayer.replay(receipt_store.of_partition(number), readers, within):
                taken.put(receipt, encode(receipt))
            replayed.append(replayer.done)
        comparing = new_task("comparing ledgers", snapshot.size)
        audited = list(snapshot.check(logs, catalog, taken, progress=comparing))
        return Verified(replayed, audited, list(receipt_store.refused))


def read(parts: Parts, source: Source, new_task: TaskFactory) -> ReplayDataset:
    """Read a log's queries with their decisions and outcomes.

    Raises:
        ValueError: no query of that time has been decided.
    """
    logs, topics = source.logs, source.topics
    asked = source.spans("queries")
    results = logs.spans(topics.results)
    receipts = logs.spans(topics.receipts)
    with ReceiptStore(topics) as receipt_store:
        size = sum(span.size for span in receipts)
        receipt_store.fill(logs.read(receipts, new_task("reading receipts", size)))
        return build_dataset(
            parts.scorer,
            logs.read(asked),
            logs.read(results, new_task("reading results", sum(span.size for span in results))),
            receipt_store,
            new_task("estimating", sum(span.size for span in asked)),
        )


def _read_receipts(
    snapshot: LedgerSnapshot, logs: Logs, receipt_store: ReceiptStore, new_task: TaskFactory
) -> None:
    advance = new_task("reading receipts", sum(span.size for span in snapshot.receipts))
    receipt_store.fill(logs.read(snapshot.receipts, advance))
