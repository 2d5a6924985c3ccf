"""Tracks what a worker has taken: decisions in flight, decisions answered, offsets to commit."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from schemas.route import Routed
from streams.tracing.spans import Span, of_record, tracer
from streams.worker.consumer import Offsets
from streams.worker.offsets import OffsetTracker

REMEMBERED = 50_000
"""Ids of answered decisions that are kept (about 10 MB)."""


class Place(NamedTuple):
    """Where a record of the routed topic stands."""

    partition: int
    offset: int


class Job:
    """A decision without an acknowledged result, and the places of all records that carry it.

    Attributes:
        headers: The routed record's, in the context of `span`.
        span: From the record's arrival on.
        started: Whether a call is being made.
        announced: Whether its start has been published.
    """

    __slots__ = ("announced", "headers", "places", "routed", "span", "started")

    def __init__(self, routed: Routed, headers: Any, place: Place) -> None:
        self.routed = routed
        self.span = _span(routed, headers, place)
        self.headers = self.span.carried(headers or ())
        self.places = [place]
        self.started = False
        self.announced = False

    def is_in(self, partitions: set[int]) -> bool:
        """Whether a record of these partitions carries it."""
        return any(place.partition in partitions for place in self.places)


class Jobs:
    """Deduplicates decisions, and knows which offsets have finished.

    An offset has finished when its decision's result is acknowledged, or its record rejected. A
    decision that comes again while it is in flight joins its job; the last `REMEMBERED` answered
    ones finish at once.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._offsets: defaultdict[int, OffsetTracker] = defaultdict(OffsetTracker)
        self._committed: Offsets = {}

    def __len__(self) -> int:
        """Decisions in flight."""
        return len(self._jobs)

    @property
    def partitions(self) -> set[int]:
        """The partitions that records were taken from."""
        return set(self._offsets)

    def take(self, place: Place) -> None:
        """Begin a record; `finish` ends it."""
        self._offsets[place.partition].take(place.offset)

    def finish(self, place: Place) -> None:
        """End a record. Does nothing where its partition was given back meanwhile."""
        if (offsets := self._offsets.get(place.partition)) is not None:
            offsets.finish(place.offset)

    def add(self, routed: Routed, headers: Any, place: Place) -> Job | None:
        """Return the job of a decision that is new; None for one that is known already."""
        if routed.decision_id in self._answered:
            self.finish(place)
            return None
        if (known := self._jobs.get(routed.decision_id)) is not None:
            known.places.append(place)
            return None
        job = self._jobs[routed.decision_id] = Job(routed, headers, place)
        return job

    def is_current(self, job: Job) -> bool:
        """False where the job's partition was given back, though it may have come again."""
        return self._jobs.get(job.routed.decision_id) is job

    def complete(self, job: Job) -> None:
        """Remember that a job's result is acknowledged, and finish all its records."""
        if not self.is_current(job):
            return
        del self._jobs[job.routed.decision_id]
        self._answered[job.routed.decision_id] = None
        if len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)
        for place in job.places:
            self.finish(place)

    def any_in(self, partitions: set[int]) -> bool:
        """Whether a job of these partitions is in flight."""
        return any(job.is_in(partitions) for job in self._jobs.values())

    def to_commit(self, partitions: Iterable[int]) -> Offsets:
        """Offsets to commit: what has finished since the last call."""
        due = {number: self._offsets[number].committable() for number in partitions}
        new = {n: at for n, at in due.items() if at is not None and at != self._committed.get(n)}
        self._committed |= new
        return new

    def to_commit_again(self, partitions: set[int]) -> Offsets:
        """All that has finished: an earlier commit may not have arrived."""
        for number in partitions:
            self._committed.pop(number, None)
        return self.to_commit(partitions)

    def drop_unstarted(self, partitions: set[int]) -> None:
        """Forget the jobs of these partitions that no call has been made for."""
        self._drop(partitions, lambda job: not job.started)

    def drop(self, partitions: set[int]) -> None:
        """Forget everything of these partitions: another worker has them."""
        self._drop(partitions, lambda job: True)
        for number in partitions:
            self._offsets.pop(number, None)
            self._committed.pop(number, None)

    def clear(self) -> None:
        """Forget all jobs."""
        self._jobs.clear()

    def _drop(self, partitions: set[int], which: Callable[[Job], bool]) -> None:
        kept = self._jobs.items()
        self._jobs = {id: job for id, job in kept if not (which(job) and job.is_in(partitions))}


def _span(routed: Routed, headers: Any, place: Place) -> Span:
    """Begin the span of a decision's answer, from the record's arrival on."""
    return tracer().start(
        f"call {routed.model}",
        "consumer",
        headers or (),
        {
            **of_record("call", place.partition, place.offset),
            "sluice.query.id": routed.id,
            "sluice.decision.id": routed.decision_id,
            "sluice.model": routed.model,
            "sluice.reserved": routed.reserved,
        },
    )
