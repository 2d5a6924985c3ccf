"""A partition with open reservations, and what settles and expires them."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from msgspec.structs import replace

from schemas import Rejected
from streams.kafka.logs import LogError
from streams.kafka.starts import Calls
from streams.routing.expiration import Expirer
from streams.routing.settlement import Settler
from streams.state.store import MemoryStore
from tests.support.recorded import (
    FLEET,
    TOPICS,
    RecordedOutbox,
    decide,
    new_metrics,
    open_partition,
    receipt,
    record,
)

NO_WINDOWS = np.zeros(len(FLEET), dtype=np.int64)
DECIDED = 1000.0


class Desk:
    """A partition with three open rows of 100 nano-units: q0, q1 "small", q2 "large" in a pool."""

    def __init__(self) -> None:
        self.outbox, self.store = RecordedOutbox(), MemoryStore()
        self.partition = open_partition(self.outbox, self.store)
        self.metrics = new_metrics()
        self.settler = Settler(lambda: FLEET, self.outbox, TOPICS, self.metrics)
        self.begun: set[str] = set()
        """Ids of decisions that a worker has begun a call for."""
        self.returned: set[str] = set()
        """Ids of those that one has given back."""
        self.unreadable: str | None = None
        """Why that cannot be read."""
        self._results = 0

    async def open(self) -> Desk:
        await decide(
            self.partition, receipt(0), receipt(1), replace(receipt(2, "large"), pool="short")
        )
        self.partition.mark_published("queries", 2, [])
        self.outbox.sent.clear()
        return self

    async def settle(self, *values: bytes) -> None:
        """Hand over a chunk of results that follows on the one before."""
        first, self._results = self._results, self._results + len(values)
        await self.again(first, *values)

    async def again(self, first: int, *values: bytes) -> None:
        """Hand over results whose offsets begin at `first`."""
        records = [record(first + i, value, TOPICS.results) for i, value in enumerate(values)]
        await self.settler.settle(self.partition, records)

    async def expire(
        self, now: float, begins: list[int] | None = None, unbegun_again: bool = False
    ) -> None:
        windows = NO_WINDOWS if begins is None else np.array(begins)
        expirer = Expirer(self.outbox, TOPICS, 60.0, lambda _: windows, self._begun, unbegun_again)
        await expirer.expire(self.partition, now)

    def _begun(self, *_: float) -> Calls:
        if self.unreadable is not None:
            raise LogError(self.unreadable)
        return Calls(self.begun, self.returned)

    def money(self) -> tuple[list[int], list[int]]:
        """Reserved and spent; the changelog must say the same, and what is under way."""
        ledger = self.partition.ledger
        loaded = open_partition(RecordedOutbox(), self.store)
        assert loaded.ledger.accounts() == ledger.accounts()
        assert loaded.in_flight.counts() == self.partition.in_flight.counts()
        return ledger.reserved.tolist(), ledger.spent.tolist()

    def rejected(self) -> list[Rejected]:
        return self.outbox.rejected()


def result(offset: int, model: str = "small", **fields: Any) -> bytes:
    given = {"id": f"q{offset}", "decision_id": f"queries/0/{offset}", "model": model}
    return orjson.dumps({**given, "status_code": 200, "cost": 40, **fields})
