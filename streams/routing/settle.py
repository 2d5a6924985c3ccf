"""Agent `settle`: results turn reservations into charges, chunk by chunk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from typing import Any, NamedTuple

from msgspec import structs

from router.arrays import Ints
from router.budget.reference_ledger import MAX_CHARGE, accounts_of, cost_of
from router.models.catalog import ModelCatalog
from schemas import Invalid, Rejected, Result, Source
from schemas.wire import decode, encode
from streams.kafka.producer import Headers, Outbox
from streams.kafka.topics import Topics
from streams.metrics.router import Metrics
from streams.routing.publish import trace_headers
from streams.state.partition import Partition
from streams.state.rows import Row, row_key

logger = logging.getLogger(__name__)


class Leaving(NamedTuple):
    """A message that is about to be published."""

    topic: str
    value: bytes
    key: bytes | None
    headers: Headers = ()


class Settler:
    """Folds results into the ledger of the partition that holds their reservations."""

    def __init__(
        self, catalog: ModelCatalog, outbox: Outbox, topics: Topics, metrics: Metrics
    ) -> None:
        self._metrics = metrics
        self.catalog = catalog
        self._outbox = outbox
        self._topics = topics
        self._logs = topics.logs

    async def settle(self, partition: Partition, records: list[Any]) -> None:
        """Settle a chunk: charge, publish what was no result, write ahead.

        A record that was settled before a crash is known by its offset and passed over.
        """
        async with partition.lock:
            fresh = [record for record in records if record.offset > partition.settled]
            over: dict[str, None] = {}
            counted: list[tuple[str, str]] = []
            leaving: list[Leaving] = []
            for record in fresh:
                try:
                    result = decode(Result, record.value)
                    key, row = self._charge(partition, result, over)
                except Invalid as error:
                    leaving.append(self._rejection(record, error))
                    counted.append(("", "rejected"))
                    continue
                over[key] = None
                counted.append((result.model, "ok" if result.status_code < 300 else "failed"))
                if not await partition.has_left(key):
                    # A kill came amid its publishing. The routed query had left; with its row, its
                    # receipt would be lost.
                    told, trace = row.receipt, trace_headers(record.headers)
                    leaving.append(
                        Leaving(self._topics.receipts, encode(told), told.id.encode(), trace)
                    )
            if leaving:
                # All this leaves first: it changes no state, and a kill here repeats it. But a
                # result of a decision that only the next owner knows of is not to be rejected.
                await partition.confirm()
                batch = self._outbox.batch()
                for one in leaving:
                    batch.send(one.topic, one.value, one.key, headers=one.headers)
                await batch.delivered()
            partition.settled = max(partition.settled, records[-1].offset)
            if fresh:
                await partition.commit({}, removed=over)
        self._metrics.settled(counted)

    def _charge(
        self, partition: Partition, result: Result, over: Container[str]
    ) -> tuple[str, Row]:
        """Charge one result. Returns the row that it ends, with its key."""
        key = self._row_key(result.decision_id)
        row = None if key in over else partition.row(key)
        row = _reservation(result, row)
        reserved = 0 if row.expired else row.receipt.reserved
        cost = self._cost(result)
        for account in _accounts(partition, row):
            excess = partition.ledger.settle(account, reserved, cost, row.window)
        if excess:
            logger.warning(
                "%s charged %d nano-units more than was held for %s: %s",
                result.model,
                excess,
                result.decision_id,
                "its result came after the deadline" if row.expired else "it ignored max_tokens",
            )
        return key, row

    async def expire(
        self, partition: Partition, now: float, seconds: float, begins: Callable[[float], Ints]
    ) -> None:
        """Release what was decided `seconds` before `now` and has no result: it is rejected.

        begins: int64[M], the budget windows that a moment falls into; a ledger goes on to them.

        The release is written first: a process that was paused must not reject what the next
        owner has settled meanwhile. Rejections that a kill keeps from leaving leave with the next
        call, of whoever owns the partition then.
        """
        async with partition.lock:
            if not partition.owned:
                return
            open_rows = {key: partition.row(key) for key in partition.deadlines.due(now, seconds)}
            expired = {
                key: structs.replace(row, expired=True)
                for key, row in open_rows.items()
                if row is not None and row.receipt.model is not None and not row.expired
            }
            forgotten = [
                key for key in partition.deadlines.forgotten(now) if partition.row(key) is not None
            ]
            for row in expired.values():
                for account in _accounts(partition, row):
                    partition.ledger.release(account, row.receipt.reserved, row.window)
            rolled = partition.ledger.roll(begins(now))
            if expired or forgotten or rolled:
                partition.untold = [*partition.untold, *expired]
                await partition.commit(expired, removed=forgotten)
            await self._tell(partition, seconds)

    async def _tell(self, partition: Partition, seconds: float) -> None:
        """Reject what has expired, but for what a late result has ended meanwhile."""
        if not partition.untold:
            return
        batch = self._outbox.batch()
        for key in partition.untold:
            if (row := partition.row(key)) is not None:
                receipt = row.receipt
                rejected = Rejected(
                    id=receipt.id,
                    code="deadline_exceeded",
                    reason=f"no result of {receipt.model} came within {seconds:g} seconds; what "
                    "was reserved for it has been released",
                    source=receipt.source,
                )
                batch.send(self._topics.rejected, encode(rejected), receipt.id.encode())
        await batch.delivered()
        partition.untold = []

    def _row_key(self, decision_id: str) -> str:
        """Find the row that a decision id names. Raises Invalid where no router has given it."""
        topic, _, coordinates = decision_id.partition("/")
        _, _, offset = coordinates.partition("/")
        if topic not in self._logs or not offset.isdecimal() or len(offset) > 20:
            raise Invalid(
                "not_in_flight",
                "decision_id: found a string that no router has given out",
                "decision_id",
            )
        return row_key(self._logs[topic], int(offset))

    def _cost(self, result: Result) -> int:
        """Nano-units, as `cost_of`. Raises Invalid above `MAX_CHARGE`."""
        cost = cost_of(result, self.catalog)
        if cost > MAX_CHARGE:
            field = "usage" if result.cost is None else "cost"
            raise Invalid(
                "invalid_field", f"{field}: found a charge of {cost}, at most {MAX_CHARGE}", field
            )
        return cost

    def _rejection(self, record: Any, error: Invalid) -> Leaving:
        source = Source(record.topic, record.partition, record.offset)
        rejected = Rejected.of(error, record.value, source)
        return Leaving(self._topics.rejected, encode(rejected), record.key)


def _accounts(partition: Partition, row: Row) -> list[int]:
    """The numbers of the accounts that hold a row's reservation."""
    index, receipt = partition.ledger.index, row.receipt
    return [index[name] for name in accounts_of(receipt.model or "", receipt.tenant)]


def _reservation(result: Result, row: Row | None) -> Row:
    """Return the row that the result answers. Raises Invalid where the row is not that."""
    if row is None or row.receipt.model is None:
        raise Invalid(
            "not_in_flight",
            "decision_id: no reservation is open under it (never made, already settled or expired)",
            "decision_id",
        )
    for field, found, wanted in (
        ("decision_id", result.decision_id, row.receipt.decision_id),
        ("id", result.id, row.receipt.id),
        ("model", result.model, row.receipt.model),
    ):
        if found != wanted:
            raise Invalid(
                "not_in_flight",
                f"{field}: found {found!r}, the reservation names {wanted!r}",
                field,
            )
    return row
