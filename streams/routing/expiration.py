"""The end of reservations without a result: their queries are rejected at their deadline.

What no worker has begun is released then. Where a call has begun (topic `starts`) it may be charged
at any time, whatever its worker sleeps through: that reservation is held until there is a result.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import KafkaException
from msgspec import structs

from router.arrays import Ints
from schemas import Failure, Receipt, Rejected, Result
from schemas.result import DEADLINE_EXCEEDED
from schemas.wire import encode
from streams.kafka.logs import LogError
from streams.kafka.producer import Outbox
from streams.kafka.starts import Calls
from streams.kafka.topics import Topics
from streams.state.partition import Partition
from streams.state.rows import Row

logger = logging.getLogger(__name__)

Begun = Callable[[int, float, float], Calls]
"""`StartLog.decisions`."""


class Expirer:
    """Ends what has waited for a result longer than it may, and forgets late results.

    What a worker has given back, for its model's server took no calls, is decided again; what no
    worker has begun, too, where all workers announce their calls.
    """

    def __init__(
        self,
        outbox: Outbox,
        topics: Topics,
        seconds: float,
        begins: Callable[[float], Ints],
        begun: Begun,
        unbegun_again: bool = False,
    ) -> None:
        """Args:
        outbox: Publishes the rejections.
        topics: Where to.
        seconds: Time that a result may take.
        begins: Returns the budget windows of a moment, int64[M], by Unix seconds.
        begun: Tells which calls have begun.
        unbegun_again: Whether all workers announce their calls: what none has begun none will.
        """
        self._outbox = outbox
        self._topics = topics
        self._seconds = seconds
        self._begins = begins
        self._begun = begun
        self._unbegun_again = unbegun_again

    async def expire(self, partition: Partition, now: float) -> None:
        """Reject what is due at `now`, Unix seconds, and release it unless its call has begun.

        The release is committed first: a process that was paused must not reject what the next
        owner has settled meanwhile. Rejections that a kill keeps from being published are
        published by the next call, of whoever owns the partition then. Nothing is due as long as
        `starts` cannot be read.
        """
        calls = Calls()
        if (since := partition.deadlines.oldest_due(now, self._seconds)) is not None:
            try:
                calls = await asyncio.to_thread(self._begun, partition.number, since, now)
            except (LogError, KafkaException) as error:
                logger.warning("the ends of reservations are put off: %s", error)
                return
        async with partition.lock:
            if not partition.owned:
                return
            await self._reject_earlier(partition)
            # Before those that are due now: what ends a reservation stands in the log before its
            # row is removed, however long ago it was due.
            late = {
                key: row
                for key in partition.deadlines.forgotten(now)
                if (row := partition.row(key))
            }
            due = partition.deadlines.due(now, self._seconds, partition.row)
            overdue = self._overdue(due, calls)
            forgotten = [key for key, row in late.items() if not row.held]
            partition.record_expirations(overdue)
            rolled = partition.roll(self._begins(now))
            if overdue or forgotten or rolled:
                again = {
                    name: one
                    for key, row in overdue.items()
                    if row.returned
                    for name, one in partition.record_failover(key, row).items()
                }
                await partition.commit(overdue | again, removed=forgotten)
            await self._reject(partition)
            await self._give_up(
                partition.number, (row.receipt for row in late.values() if row.held)
            )

    def _overdue(self, due: Mapping[str, Row], calls: Calls) -> dict[str, Row]:
        """Return the rows that hold a reservation, marked by what becomes of them."""
        return {
            key: self._ended(row, calls)
            for key, row in due.items()
            if row.receipt.model is not None and not row.is_overdue
        }

    def _ended(self, row: Row, calls: Calls) -> Row:
        decision = row.receipt.decision_id
        if decision in calls.begun:
            return structs.replace(row, held=True)
        again = self._unbegun_again or decision in calls.returned
        return structs.replace(row, expired=True, returned=again)

    async def _reject_earlier(self, partition: Partition) -> None:
        """Publish the rejections that a kill has left, before their rows may be forgotten."""
        if partition.unpublished_expirations:
            await partition.confirm()
            await self._reject(partition)

    async def _reject(self, partition: Partition) -> None:
        """Reject what is overdue, except where a late result has ended the row meanwhile."""
        if not partition.unpublished_expirations:
            return
        batch = self._outbox.batch()
        for key in partition.unpublished_expirations:
            if (row := partition.row(key)) is not None:
                receipt = row.receipt
                rejected = Rejected(
                    id=receipt.id,
                    code="deadline_exceeded",
                    reason=f"no result of {receipt.model} came within {self._seconds:g} seconds; "
                    + _what_becomes_of_it(row),
                    source=receipt.source,
                )
                batch.send(self._topics.rejected, encode(rejected), receipt.id.encode())
        await batch.delivered()
        partition.expirations_published()

    async def _give_up(self, number: int, receipts: Iterable[Receipt]) -> None:
        """Publish the result of calls that nobody will tell of any more: it charges what is held.

        A kill has it published again, and the second one charges nothing.
        """
        batch = self._outbox.batch()
        for receipt in receipts:
            reason = "a worker began the call and has told nothing of it; it may have been charged"
            result = Result(
                id=receipt.id,
                decision_id=receipt.decision_id,
                model=receipt.model or "",
                status_code=504,
                cost=receipt.reserved,
                estimated=True,
                error=Failure(code=DEADLINE_EXCEEDED, message=reason),
            )
            batch.send(self._topics.results, encode(result), receipt.id.encode(), number)
        await batch.delivered()


def _what_becomes_of_it(row: Row) -> str:
    if row.held:
        return "a worker has begun the call, so what was reserved for it is held until it ends"
    return "what was reserved for it has been released"
