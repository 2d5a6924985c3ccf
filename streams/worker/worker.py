"""A model worker: takes routed queries of one model, asks its backend, publishes the results.

What it promises. Every routed query gets a result: an offset is committed only when the results
of all records before it are acknowledged by the broker. A decision gets one result, also where
its record comes twice, as long as one worker sees both: decisions in flight and the last
`REMEMBERED` answered ones are known by id. After kill -9, or when partitions are lost with a
broken session, the next worker asks again for what was not committed: the calls in flight, and
what was answered in the last commit interval. The ledger charges only the first result of a
decision, but a provider may have charged both calls; nothing on this side of it can prevent that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, cast

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from schemas.fields import Source
from schemas.invalid import wrong
from schemas.rejected import Rejected
from schemas.result import Failure, Result
from schemas.route import Routed
from schemas.wire import MAX_BYTES, Invalid, decode, encode
from streams.kafka import clients
from streams.kafka.topics import LARGEST_MESSAGE
from streams.worker.backends.base import DEADLINE_EXCEEDED, Backend, failed
from streams.worker.consumer import PATIENCE, Offsets, WorkerConsumer, WorkerError
from streams.worker.offsets import OffsetTracker

logger = logging.getLogger(__name__)

REMEMBERED = 50_000
"""Ids of answered decisions that are kept (about 10 MB)."""
COMMIT_EVERY = 0.5
"""Seconds."""
GRACE = 30.0
"""Seconds that calls in flight get to end when the worker stops or gives a partition back."""
LARGEST_RESULT = MAX_BYTES - 65_536
"""Bytes; a longer one goes without its response. The rest of a record is key and headers."""

_Place = tuple[int, int]
"""Partition and offset of a record of the routed topic."""


def new_producer(
    connection: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> Producer:
    """Make the producer that the workers of a process share; settings: more of librdkafka's."""
    quiet = {"log_level": 2}  # what matters is reported with each delivery
    return clients.producer(connection, PATIENCE, {**quiet, **(settings or {})})


class _Job:
    """A decision without an acknowledged result, and the places of all records that carry it."""

    __slots__ = ("headers", "places", "routed", "started")

    def __init__(self, routed: Routed, headers: Any, place: _Place) -> None:
        self.routed = routed
        self.headers = headers
        self.places = [place]
        self.started = False


class Worker:
    """Serves one model. To be made on the event loop that runs it; one instance runs once."""

    def __init__(
        self,
        model: str,
        backend: Backend,
        producer: Producer,
        servers: str,
        settings: Mapping[str, Any],
        *,
        routed_topic: str,
        results_topic: str,
        rejected_topic: str,
        group: str,
        concurrency: int = 16,
        backlog: int = 500,
        answered: Callable[[Result], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """producer: made by `new_producer`, shared by the workers of a process; settings:
        librdkafka's (security); concurrency: calls at a time; backlog: records waiting for one;
        answered: hears of each result that the broker has acknowledged.
        """
        self.model = model
        self._backend = backend
        self._producer = producer
        self._results = results_topic
        self._rejected = rejected_topic
        self._concurrency = concurrency
        self._backlog = backlog
        self._hears = answered
        self._clock = clock
        self._intake = WorkerConsumer(
            servers, settings, routed_topic, group, self._give_back, self._lose
        )
        self._waiting: asyncio.Queue[_Job] = asyncio.Queue()
        self._room = asyncio.Event()
        self._jobs: dict[str, _Job] = {}
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._offsets: defaultdict[int, OffsetTracker] = defaultdict(OffsetTracker)
        self._committed: Offsets = {}
        self._partitions: dict[str, int] = {}
        self._failure: str | None = None

    @property
    def unanswered(self) -> int:
        """Decisions that were taken and have no acknowledged result: backlog + concurrency and a
        few at most, beside results on their way to the broker.
        """
        return len(self._jobs)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then end the calls in flight, commit and leave the group.

        Raises WorkerError where brokers or topics are gone or nobody acknowledges results, and
        what the backend raises. Whatever has no acknowledged result is not committed.
        """
        tasks = [asyncio.create_task(self._answer_all()) for _ in range(self._concurrency)]
        tasks.append(asyncio.create_task(self._take_all(stop)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await self._intake.commit(await self._give_back(self._offsets.keys()))
            self._check_failure()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._jobs.clear()
            await self._intake.close()
            await self._backend.close()

    async def _take_all(self, stop: asyncio.Event) -> None:
        self._partitions = await self._intake.open(stop)
        for topic in (self._results, self._rejected):
            if topic not in self._partitions:
                raise WorkerError(f"there is no topic {topic}; make it with: sluice topics create")
        commit_at, paused = 0.0, False
        while not stop.is_set():
            if self._waiting.qsize() >= self._backlog:
                paused = True
                self._intake.pause()
                self._room.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._room.wait(), 1.0)
                messages = await self._intake.fetch(1, 0.0)
            else:
                if paused:
                    paused = False
                    self._intake.resume()
                messages = await self._intake.fetch(self._backlog - self._waiting.qsize(), 0.2)
            for message in messages:
                self._take(message)
            await asyncio.sleep(0)  # answers that need no waiting are given here
            self._producer.poll(0)
            self._check_failure()
            if time.monotonic() >= commit_at:
                commit_at = time.monotonic() + COMMIT_EVERY
                self._intake.commit_soon(self._to_commit(self._offsets.keys()))

    def _take(self, message: Message) -> None:
        partition, offset = place = cast(_Place, (message.partition(), message.offset()))
        self._offsets[partition].take(offset)
        try:
            routed = decode(Routed, message.value(), LARGEST_MESSAGE)
            self._check(routed)
        except Invalid as invalid:
            self._reject(message, invalid, place)
            return
        if routed.decision_id in self._answered:
            self._end(place)
        elif (job := self._jobs.get(routed.decision_id)) is not None:
            job.places.append(place)
        else:
            job = _Job(routed, message.headers(), place)
            self._jobs[routed.decision_id] = job
            self._waiting.put_nowait(job)

    def _check(self, routed: Routed) -> None:
        if routed.model != self.model:
            raise wrong("model", routed.model, f"this topic is that of {self.model}")
        if routed.source.partition >= (partitions := self._partitions[self._results]):
            rule = f"topic {self._results} has {partitions} partitions"
            raise wrong("source.partition", routed.source.partition, rule)

    async def _answer_all(self) -> None:
        """One of the `concurrency` calls at a time."""
        while True:
            job = await self._waiting.get()
            if self._waiting.qsize() <= self._backlog // 2:
                self._room.set()
            if self._is_ours(job):
                job.started = True
                result = await self._answer(job.routed)
                if self._is_ours(job):
                    self._publish(job, result)

    async def _answer(self, routed: Routed) -> Result:
        if routed.deadline is not None and routed.deadline <= (now := self._clock()):
            late = f"the deadline passed {now - routed.deadline:.3f} seconds before the call"
            return failed(routed, 504, DEADLINE_EXCEEDED, late)
        return await self._backend.answer(routed)

    def _publish(self, job: _Job, result: Result) -> None:
        data = encode(result)
        if len(data) > LARGEST_RESULT:
            reason = f"the answer makes a message of {len(data)} bytes, {LARGEST_RESULT} may go"
            too_large = Failure(code="RESPONSE_TOO_LARGE", message=reason)
            result = msgspec.structs.replace(result, response=None, error=too_large)
            data = encode(result)
        key, partition = job.routed.id.encode(), job.routed.source.partition
        then = partial(self._acknowledged, job, result)
        self._send(self._results, data, key, partition, job.headers, then)

    def _reject(self, message: Message, invalid: Invalid, place: _Place) -> None:
        logger.warning("%s: %s: %s", self._intake.topic, place, invalid.reason)
        rejected = Rejected.of(invalid, message.value(), Source(self._intake.topic, *place))
        key, then = message.key(), partial(self._end, place)
        self._send(self._rejected, encode(rejected), key, -1, message.headers(), then)

    def _send(
        self,
        topic: str,
        value: bytes,
        key: bytes | None,
        partition: int,
        headers: Any,
        then: Callable[[], None],
    ) -> None:
        """Hand a record to the producer; `then` is called when the broker has acknowledged it."""

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is None:
                then()
            else:
                self._failure = f"topic {topic} does not acknowledge: {error.str()}"

        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=delivered, headers=headers or []
                )
                return
            except BufferError:  # the producer's queue is full: wait for acknowledgements
                self._producer.poll(0.05)

    def _acknowledged(self, job: _Job, result: Result) -> None:
        if self._hears is not None:
            self._hears(result)
        if self._is_ours(job):
            del self._jobs[job.routed.decision_id]
            self._answered[job.routed.decision_id] = None
            if len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)
            for place in job.places:
                self._end(place)

    def _end(self, place: _Place) -> None:
        if (offsets := self._offsets.get(place[0])) is not None:
            offsets.finish(place[1])

    def _is_ours(self, job: _Job) -> bool:
        """False where the job's partition was given back, though it may have come again."""
        return self._jobs.get(job.routed.decision_id) is job

    def _to_commit(self, partitions: Iterable[int]) -> Offsets:
        """What has finished since the last call."""
        due = {number: self._offsets[number].committable() for number in partitions}
        new = {n: at for n, at in due.items() if at is not None and at != self._committed.get(n)}
        self._committed |= new
        return new

    async def _give_back(self, partitions: Iterable[int]) -> Offsets:
        """Begin nothing more of these partitions, and wait until what has begun is acknowledged.

        Returns what to commit for them. Calls that take longer than GRACE are given up: whoever
        gets the partition asks again.
        """
        theirs = set(partitions) & self._offsets.keys()
        self._forget(theirs, lambda job: not job.started)
        give_up = time.monotonic() + GRACE
        while self._failure is None and time.monotonic() < give_up:
            self._producer.poll(0)
            if not any(_is_of(job, theirs) for job in self._jobs.values()):
                self._producer.flush(1.0)  # rejected records are no jobs
                break
            await asyncio.sleep(0.005)
        for number in theirs:  # an earlier commit may not have arrived: this one repeats it
            self._committed.pop(number, None)
        due = self._to_commit(theirs)
        await self._lose(theirs)
        return due

    async def _lose(self, partitions: Iterable[int]) -> None:
        """Drop all of these partitions: another worker has them."""
        theirs = set(partitions)
        self._forget(theirs, lambda job: True)
        for number in theirs:
            self._offsets.pop(number, None)
            self._committed.pop(number, None)

    def _forget(self, partitions: set[int], which: Callable[[_Job], bool]) -> None:
        kept = self._jobs.items()
        self._jobs = {id: j for id, j in kept if not (which(j) and _is_of(j, partitions))}

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise WorkerError(self._failure)


def _is_of(job: _Job, partitions: set[int]) -> bool:
    return any(partition in partitions for partition, _ in job.places)
