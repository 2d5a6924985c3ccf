"""The topics that make up a ledger's log, as they stand at one moment: what audit and replay read.

Looked at in this order: the changelog first, so that whatever a state record says has been
settled or has left is found in the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from router.models.catalog import ModelCatalog
from streams.kafka.logs import LogError, Logs, Span
from streams.kafka.topics import Topics
from streams.state.rows import Log
from streams.verify.audit import Audited, Receipts, audit
from streams.verify.receipt_store import ReceiptStore

LOGS: tuple[Log, ...] = ("queries", "deferred")
Advance = Callable[[int], None]


def nothing(offsets: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class LedgerSnapshot:
    """Spans of the changelog, the results and the receipts, in order of partitions."""

    changelog: Sequence[Span]
    results: Sequence[Span]
    receipts: Sequence[Span]

    @classmethod
    def open(cls, logs: Logs, topics: Topics) -> LedgerSnapshot:
        """Look where the logs end now.

        Raises LogError where a beginning has been deleted: a ledger cannot be rebuilt without it.
        """
        books = cls(
            logs.spans(topics.changelog), logs.spans(topics.results), logs.spans(topics.receipts)
        )
        for span in (*books.results, *books.receipts):
            if span.start > 0:
                raise LogError(
                    f"{span.topic}, partition {span.partition}, begins at offset {span.start}: "
                    "what was before has been deleted (retention), and without it the ledger "
                    "cannot be rebuilt"
                )
        return books

    @property
    def size(self) -> int:
        """Offsets to be read by `check`."""
        return sum(span.size for span in (*self.changelog, *self.results))

    def check(
        self,
        logs: Logs,
        catalog: ModelCatalog,
        receipt_store: ReceiptStore,
        until: Mapping[int, int] | None = None,
        progress: Advance = nothing,
    ) -> Iterator[Audited]:
        """Audit partition after partition.

        until: last offset of `queries` to look at, by partition.
        """
        for changelog, results in zip(self.changelog, self.results, strict=True):
            number = changelog.partition
            yield audit(
                number,
                catalog,
                Receipts(
                    {log: receipt_store.of_log(number, log) for log in LOGS},
                    {log: receipt_store.last(number, log) for log in LOGS},
                ),
                logs.read([results], progress),
                logs.read([changelog], progress),
                None if until is None else until.get(number),
            )
