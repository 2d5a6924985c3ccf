"""The topics that record a ledger, as they stand at one moment: the input of audit and replay.

The changelog's end is looked up first: everything that a state record calls settled or published
is then found in the other topics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from router.models.catalog import ModelCatalog
from streams.kafka.logs import LogError, Logs, Span
from streams.kafka.topics import Topics
from streams.state.rows import Log
from streams.verify.audit import PartitionAudit, ReceiptLogs, audit
from streams.verify.receipt_store import ReceiptStore

LOGS: tuple[Log, ...] = ("queries", "deferred")
ProgressCallback = Callable[[int], None]
"""Takes the number of offsets read since its last call."""


def no_progress(offsets: int) -> None:
    """Discard the progress."""


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """Spans of the changelog, the results and the receipts, in order of partitions."""

    changelog: Sequence[Span]
    results: Sequence[Span]
    receipts: Sequence[Span]

    @classmethod
    def open(cls, logs: Logs, topics: Topics) -> LedgerSnapshot:
        """Look up where the logs end now.

        Raises:
            LogError: a log's beginning has been deleted, so the ledger cannot be rebuilt.
        """
        changelog, results = logs.spans(topics.changelog), logs.spans(topics.results)
        # While topics are being grown, one has partitions that others lack, and nobody uses.
        count = min(len(changelog), len(results))
        snapshot = cls(changelog[:count], results[:count], logs.spans(topics.receipts))
        for span in (*snapshot.results, *snapshot.receipts):
            if span.start > 0:
                raise LogError(
                    f"{span.topic}, partition {span.partition}, begins at offset {span.start}: "
                    "earlier records have been deleted (retention), and the ledger cannot be "
                    "rebuilt without them"
                )
        return snapshot

    @property
    def size(self) -> int:
        """Number of offsets that `check` reads."""
        return sum(span.size for span in (*self.changelog, *self.results))

    def check(
        self,
        logs: Logs,
        catalog: ModelCatalog,
        receipt_store: ReceiptStore,
        until: Mapping[int, int] | None = None,
        progress: ProgressCallback = no_progress,
    ) -> Iterator[PartitionAudit]:
        """Audit one partition after another.

        Args:
            logs: the broker's logs.
            catalog: all models, those added at run time included.
            receipt_store: the receipts to compare with.
            until: last offset of `queries` to compare, by partition; None for all.
            progress: called with the number of offsets read.

        Yields:
            What was found, in order of partitions.
        """
        for changelog, results in zip(self.changelog, self.results, strict=True):
            number = changelog.partition
            yield audit(
                number,
                catalog,
                ReceiptLogs(
                    {log: receipt_store.of_log(number, log) for log in LOGS},
                    {log: receipt_store.last(number, log) for log in LOGS},
                ),
                logs.read([results], progress),
                logs.read([changelog], progress),
                None if until is None else until.get(number),
            )
