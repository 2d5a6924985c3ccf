"""A query that was sent, until it ends."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from schemas.invalid import Invalid
from schemas.query import Query
from schemas.receipt import Receipt
from schemas.result import Result, goes_to_another_model
from schemas.wire import NewerFormat, decode
from streams.client.answers import Ending, waited
from streams.client.errors import DeadlineExceeded
from streams.kafka.logs import Record

SLACK = 0.5
"""Seconds after its deadline in which the last word on a query may arrive."""


@dataclass(slots=True)
class Pending:
    """A query that was sent.

    Attributes:
        query: What was sent.
        ending: What becomes of it.
        deferred: Set while it waits for money, as far as is known.
        waiters: Callers that wait for the ending.
        failed: Decisions whose calls have failed.
    """

    query: Query
    ending: asyncio.Future[Ending] = field(default_factory=asyncio.Future)
    deferred: asyncio.Event = field(default_factory=asyncio.Event)
    waiters: int = 0
    failed: set[str] = field(default_factory=set)

    def end(self, ending: Ending) -> None:
        """Take the first ending."""
        if not self.ending.done():
            self.ending.set_result(ending)

    def abandon(self, reason: Exception) -> None:
        """Have all who wait raise an error: no ending can arrive any more."""
        if not self.ending.done():
            self.ending.set_exception(reason)
            self.ending.exception()  # there may be nobody who waits

    def follow(self, record: Record) -> None:
        """Note from a receipt whether it waits for money."""
        try:
            receipt = decode(Receipt, record.value)
        except (Invalid, NewerFormat):
            return
        if receipt.decision == "deferred":
            self.deferred.set()
        elif receipt.decision == "routed":
            self.deferred.clear()

    def goes_on(self, result: Result, attempts: int) -> bool:
        """Take in a result, and return whether the query goes to another model after it.

        attempts: `failover.attempts` of the routers.
        """
        going = goes_to_another_model(result, len(self.failed - {result.decision_id}), attempts)
        if going:
            self.failed.add(result.decision_id)
        return going

    async def ended(self, patience: float | None) -> Ending:
        """Wait for the ending, at the longest until the deadline.

        patience: seconds for which a deferred query is waited for; None: until its deadline.
        """
        deadline = self.query.deadline
        left = None if deadline is None else deadline + SLACK - time.time()
        patient = asyncio.create_task(self._waited_enough(patience))
        parts: set[asyncio.Future[Any]] = {self.ending, patient}
        try:
            await asyncio.wait(parts, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patient.cancel()
        if self.ending.done():
            return self.ending.result()
        if self.deferred.is_set():
            return waited(self.query.id)
        reason = "the deadline passed before there was an answer"
        return DeadlineExceeded(self.query.id, "deadline_exceeded", reason)

    async def _waited_enough(self, patience: float | None) -> None:
        """Return when a query that waits for money has been waited for long enough."""
        await self.deferred.wait()
        if patience is None:
            await asyncio.wait({self.ending})  # cancels nothing of it
        else:
            await asyncio.sleep(patience)
            await self.deferred.wait()  # it may have been routed meanwhile
