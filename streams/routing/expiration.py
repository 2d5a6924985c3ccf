"""The end of reservations without a result: released at their deadline, then rejected."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from router.arrays import Ints
from schemas import Rejected
from schemas.wire import encode
from streams.kafka.producer import Outbox
from streams.kafka.topics import Topics
from streams.state.partition import Partition


class Expirer:
    """Releases what has waited for a result longer than it may, and forgets late results."""

    def __init__(
        self, outbox: Outbox, topics: Topics, seconds: float, begins: Callable[[float], Ints]
    ) -> None:
        """Args:
        outbox: Publishes the rejections.
        topics: Where to.
        seconds: Time that a result may take.
        begins: Returns the budget windows of a moment, int64[M], by Unix seconds.
        """
        self._outbox = outbox
        self._topics = topics
        self._seconds = seconds
        self._begins = begins

    async def expire(self, partition: Partition, now: float) -> None:
        """Release and reject what is due at `now`, Unix seconds.

        The release is committed first: a process that was paused must not reject what the next
        owner has settled meanwhile. Rejections that a kill keeps from being published are
        published by the next call, of whoever owns the partition then.
        """
        async with partition.lock:
            if not partition.owned:
                return
            due = partition.deadlines.due(now, self._seconds)
            rows = {key: partition.row(key) for key in due}
            expired = {
                key: structs.replace(row, expired=True)
                for key, row in rows.items()
                if row is not None and row.receipt.model is not None and not row.expired
            }
            forgotten = [
                key for key in partition.deadlines.forgotten(now) if partition.row(key) is not None
            ]
            partition.record_expirations(expired)
            rolled = partition.roll(self._begins(now))
            if expired or forgotten or rolled:
                await partition.commit(expired, removed=forgotten)
            await self._publish(partition)

    async def _publish(self, partition: Partition) -> None:
        """Reject what has expired, except where a late result has ended the row meanwhile."""
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
                    "what was reserved for it has been released",
                    source=receipt.source,
                )
                batch.send(self._topics.rejected, encode(rejected), receipt.id.encode())
        await batch.delivered()
        partition.expirations_published()
