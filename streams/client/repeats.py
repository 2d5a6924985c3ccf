"""Queries that are sent again under their ids on purpose, and what became of the first of an id.

A router tells of an id that it remembers that it is in flight or answered, and names the decision.
Mostly the answer to the first comes for the second, too. In two cases none does: the first has
failed, and the router had not settled that when the second came; or it was answered so long ago
that nobody keeps the answer.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from schemas.invalid import Invalid
from schemas.query import Query
from schemas.result import FAILED, Result, goes_to_another_model
from schemas.wire import decode
from streams.kafka.logs import Logs, Span
from streams.kafka.security import Secured
from streams.state.decision_ids import parse_decision_id

MOST = 10_000
"""Failed ids that are remembered."""
SLACK = 60.0
"""Seconds after a query's deadline until which its last word may come."""


class Repeats:
    """What is known of the queries before. An id that has failed is new when it comes again."""

    def __init__(
        self, broker: Secured, attempts: int, clock: Callable[[], float] = time.time
    ) -> None:
        """Know nothing yet.

        Args:
            broker: How it is reached.
            attempts: `failover.attempts` of the routers.
            clock: Unix seconds.
        """
        self._logs, self._attempts, self._clock = Logs(broker), attempts, clock
        self._failed: OrderedDict[bytes, set[str]] = OrderedDict()
        self._ended: set[bytes] = set()

    def note(self, key: bytes, result: Result) -> None:
        """Take in a result. key: the query's."""
        if result.status_code < FAILED:
            self._forget(key)
            return
        failed = self._failed.setdefault(key, set())
        going = goes_to_another_model(result, len(failed - {result.decision_id}), self._attempts)
        failed.add(result.decision_id)
        (self._ended.discard if going else self._ended.add)(key)
        while len(self._failed) > MOST:
            self._forget(next(iter(self._failed)))

    def has_failed(self, key: bytes, first: str) -> bool:
        """Return whether the query that a decision was about has failed for good."""
        return key in self._ended and first in self._failed[key]

    def is_over(self, first: str) -> bool:
        """Return whether no ending of a query can come any more. Blocks.

        Args:
            first: The decision on it.

        Raises:
            BrokerError: Its record cannot be read.
            KafkaException: The broker does not answer.
        """
        source = parse_decision_id(first)
        if source is None:
            return False
        spans = self._logs.spans(source.topic)
        whole = next((span for span in spans if span.partition == source.partition), None)
        if whole is None or not whole.start <= source.offset < whole.end:
            return True  # retention has removed it
        span = Span(source.topic, source.partition, source.offset, source.offset + 1)
        for record in self._logs.read([span]):
            try:
                deadline = decode(Query, record.value).deadline
            except Invalid:
                return True
            return deadline is not None and deadline + SLACK < self._clock()
        return True

    def _forget(self, key: bytes) -> None:
        self._failed.pop(key, None)
        self._ended.discard(key)
