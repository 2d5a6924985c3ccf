"""Spans of a chunk's queries: one each, with a child for each step of the chunk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from streams.kafka.producer import Headers
from streams.routing.arrivals import Arrival
from streams.state.rows import Row
from streams.tracing.spans import UNRECORDED, Attributes, Span, of_record, tracer


class Decision(NamedTuple):
    """An arrival and the row of its decision."""

    arrival: Arrival
    row: Row


class ChunkTrace:
    """The times of a chunk's steps, and the spans of its queries.

    A step is of the whole chunk, so its time is that of every query in it.
    """

    def __init__(self, began: float, ended: float) -> None:
        """Begin with the first step, which is over. began, ended: Unix seconds."""
        self._steps = [("prepare", began, ended)]
        self._spans: dict[int, Span] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Take the time of a step."""
        began = time.time()
        yield
        self._steps.append((name, began, time.time()))

    def begin(self, decisions: Sequence[Decision]) -> None:
        """Begin the spans of the decided queries, if this process makes any."""
        if not (made := tracer()).is_on:
            return
        began = self._steps[0][1]
        for arrival, row in decisions:
            self._spans[id(arrival)] = made.start(
                f"route {arrival.source.topic}",
                "consumer",
                arrival.record.headers or (),
                _described(arrival, row, len(decisions)),
                began,
            )

    def span(self, arrival: Arrival) -> Span:
        """Return the span of a query."""
        return self._spans.get(id(arrival), UNRECORDED)

    def headers(self, arrival: Arrival) -> Headers:
        """Return the headers of a query's record, in the context of its span."""
        return self.span(arrival).carried(arrival.record.headers or ())

    def seconds(self) -> Iterator[tuple[str, float]]:
        """Yield the name of each step, and how long it took."""
        for name, began, ended in self._steps:
            yield name, ended - began

    def end(self) -> None:
        """End the spans."""
        for span in self._spans.values():
            for step in self._steps:
                span.step(*step)
            span.end(self._steps[-1][2])


UNTRACED = ChunkTrace(0.0, 0.0)
"""For messages that no span is about: those of an earlier decision, published once more."""


def _described(arrival: Arrival, row: Row, chunk: int) -> Attributes:
    receipt, source = row.receipt, arrival.source
    return {
        **of_record("route", source.partition, source.offset, source.topic),
        "messaging.batch.message_count": chunk,
        "sluice.query.id": receipt.id,
        "sluice.decision.id": receipt.decision_id,
        "sluice.decision": receipt.decision,
        "sluice.decision.reason": receipt.reason,
        "sluice.decision.after": arrival.failover_of,
        "sluice.model": receipt.model,
        "sluice.policy": receipt.policy,
        "sluice.price_version": receipt.price_version,
        "sluice.reserved": receipt.reserved,
    }
