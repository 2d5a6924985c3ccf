"""How many queries of a partition wait for a result of each token pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from router.models.pools import served
from schemas import Receipt
from streams.state.rows import ReceiptHead, RowHead


class InFlight:
    """Counts routed queries of models with pools, until their result or their deadline.

    It follows from the open rows: a partition that is loaded again has the same counts.
    """

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()

    def loaded(self, rows: Iterable[tuple[str, RowHead]]) -> Iterator[tuple[str, RowHead]]:
        """Yield the open rows that a partition is loaded with, as they are, and count them."""
        for key, row in rows:
            if row.receipt.decision == "routed" and not row.is_overdue:
                self.begin(row.receipt)
            yield key, row

    def begin(self, receipt: Receipt | ReceiptHead) -> None:
        """Count a query that has been routed; nothing where its model has no pools."""
        if receipt.pool is not None:
            self._count[served(receipt.model or "", receipt.pool)] += 1

    def end(self, receipt: Receipt) -> None:
        """Count a query no longer: its result has come, or its deadline has passed."""
        if receipt.pool is not None:
            self._count[served(receipt.model or "", receipt.pool)] -= 1

    def counts(self) -> dict[str, int]:
        """Return the numbers by pool, as `served` names them, where they are not 0."""
        return {pool: count for pool, count in self._count.items() if count}
