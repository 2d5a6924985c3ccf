"""A model worker: takes routed queries of one model, calls its backend, publishes the results.

Guarantees. Every routed query gets a result: an offset is committed only when the results
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
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import Message, Producer

from router.models.pools import served
from schemas.fields import Source
from schemas.invalid import wrong
from schemas.result import Result
from schemas.route import Routed
from schemas.wire import Invalid, decode
from streams.kafka.carried import headers_of
from streams.kafka.fatal import or_die
from streams.kafka.producer import Headers
from streams.kafka.starts import StartLog
from streams.kafka.topics import LARGEST_MESSAGE, Topics
from streams.kafka.trace import ids
from streams.tracing.context import carrying
from streams.worker.backends.base import Backend
from streams.worker.call_starts import CallStarts
from streams.worker.caller import Caller, GivenBack
from streams.worker.circuit_breaker import CircuitBreaker
from streams.worker.consumer import Offsets, WorkerConsumer
from streams.worker.jobs import Job, Jobs, Place
from streams.worker.publisher import ResultPublisher

logger = logging.getLogger(__name__)

COMMIT_EVERY = 0.5
"""Seconds."""
GRACE = 30.0
"""Seconds that calls in flight get to end when the worker stops or a partition is revoked."""


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
        topics: Topics,
        starts: StartLog,
        group: str,
        concurrency: int = 16,
        backlog: int = 500,
        clock_margin: float = 1.0,
        answered: Callable[[Result, Headers], None] = lambda result, headers: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open nothing yet.

        Args:
            model: whose queries the routed topic carries, or its pool, as `served` names them.
            backend: answers them; closed when the worker ends.
            producer: made by `publisher.new_producer`, shared by the workers of a process.
            servers: bootstrap addresses, "host:port,host:port".
            settings: more of librdkafka's, for the consumer (security).
            topics: where queries come from, and results and rejections go to.
            starts: where calls are announced before they begin.
            group: the consumer group of the model's workers.
            concurrency: calls at a time.
            backlog: records that wait for one.
            clock_margin: seconds before a reservation is released at which its call is cut.
            answered: called with acknowledged results and their headers.
            clock: Unix seconds.
        """
        self.model = model
        self._publisher = ResultPublisher(producer, topics)
        self._concurrency, self._backlog = concurrency, backlog
        self._on_answered = answered
        self._consumer = WorkerConsumer(
            servers, settings, topics.routed(model), group, self._revoke, self._lose
        )
        self._waiting: asyncio.Queue[Job] = asyncio.Queue()
        self._room = asyncio.Event()
        self._breaker = CircuitBreaker(model, concurrency, self._room.set)
        calls = CallStarts(self._publisher, starts)
        self._caller = Caller(backend, self._breaker, clock, clock_margin, calls)
        self._jobs = Jobs()

    @property
    def unanswered(self) -> int:
        """Decisions that were taken and have no acknowledged result: backlog + concurrency and a
        few at most, beside results on their way to the broker.
        """
        return len(self._jobs)

    @property
    def backend_is_up(self) -> bool:
        """False while the backend's server takes no calls, and so none is made but probes."""
        return self._breaker.is_up

    @property
    def not_ready(self) -> str | None:
        """Why no queries are taken, though the model's server may be well; None where they are."""
        return None if self._consumer.is_connected else f"{self.model}: no broker answers"

    async def run(self, stop: asyncio.Event, grace: float = GRACE) -> None:
        """Work until `stop` is set, then end the calls in flight, commit and leave the group.

        grace: seconds that calls in flight get to end then.

        Raises WorkerError where brokers or topics are gone or nobody acknowledges results, and
        what the backend raises. Whatever has no acknowledged result is not committed.
        """
        tasks = [asyncio.create_task(self._answer_all()) for _ in range(self._concurrency)]
        tasks.append(asyncio.create_task(self._take_all(stop)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await self._consumer.commit(await self._revoke(self._jobs.partitions, grace))
            self._publisher.check()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._jobs.clear()
            await self._consumer.close()
            await self._caller.close()

    async def _take_all(self, stop: asyncio.Event) -> None:
        """Fetch records, pass them on and commit what has finished, until `stop` is set."""
        watch = await self._consumer.open(stop, self._publisher.topics)
        watching = asyncio.create_task(or_die("watching the topics", watch.watch()))
        commit_at, paused = 0.0, False
        try:
            while not stop.is_set():
                if self._waiting.qsize() >= self._backlog:
                    paused = True
                    self._consumer.pause()
                    self._room.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._room.wait(), 1.0)
                    messages = await self._consumer.fetch(1, 0.0)
                else:
                    if paused:
                        paused = False
                        self._consumer.resume()
                    room = self._backlog - self._waiting.qsize()
                    messages = await self._consumer.fetch(room, 0.2)
                for message in messages:
                    self._take(message)
                await asyncio.sleep(0)  # answers that need no waiting are given here
                self._publisher.poll()
                self._publisher.check()
                if time.monotonic() >= commit_at:
                    commit_at = time.monotonic() + COMMIT_EVERY
                    self._consumer.commit_soon(self._jobs.to_commit(self._jobs.partitions))
        finally:
            watching.cancel()

    def _take(self, message: Message) -> None:
        """Queue a record's decision if it is new; reject a record that is no routed query."""
        place = Place(int(message.partition() or 0), int(message.offset() or 0))
        self._jobs.take(place)
        try:
            routed = decode(Routed, message.value(), LARGEST_MESSAGE)
            self._check(routed)
        except Invalid as invalid:
            source = Source(self._consumer.topic, *place)
            self._publisher.reject(message, invalid, source, partial(self._jobs.finish, place))
            return
        if (job := self._jobs.add(routed, headers_of(message), place)) is not None:
            self._waiting.put_nowait(job)

    def _check(self, routed: Routed) -> None:
        if served(routed.model, routed.pool) != self.model:
            name = "model" if routed.pool is None else "pool"
            raise wrong(name, getattr(routed, name), f"this topic is that of {self.model}")
        count = self._publisher.result_partitions(routed.source.partition)
        if routed.source.partition >= count:
            rule = f"topic {self._publisher.results_topic} has {count} partitions"
            raise wrong("source.partition", routed.source.partition, rule)

    async def _answer_all(self) -> None:
        """One of the `concurrency` calls at a time."""
        while True:
            job = await self._waiting.get()
            if self._waiting.qsize() <= self._backlog // 2:
                self._room.set()
            try:
                with carrying(job.headers):
                    result = await self._caller.answer(job, self._jobs.is_current)
            except GivenBack:
                self._jobs.complete(job)
                continue
            if result is not None and self._jobs.is_current(job):
                then = partial(self._acknowledged, job)
                self._publisher.publish(job.routed, job.headers, result, then)

    def _acknowledged(self, job: Job, result: Result) -> None:
        if result.error is not None:
            logger.warning(
                "no answer (%s, %s): %s",
                result.status_code,
                result.error.code,
                result.error.message,
                extra=ids(result.decision_id, job.headers, model=self.model, query_id=result.id),
            )
            job.span.fail(result.error.code, result.error.message)
        self._on_answered(result, job.headers)
        self._jobs.complete(job)
        job.span.note({"sluice.status": result.status_code, "sluice.attempts": result.attempts})
        job.span.end()

    async def _revoke(self, partitions: Iterable[int], grace: float = GRACE) -> Offsets:
        """Start nothing more of these partitions, and wait until what has started is acknowledged.

        Returns what to commit for them. Calls that take longer than `grace` are abandoned: whoever
        gets the partition repeats them.
        """
        revoked = set(partitions) & self._jobs.partitions
        self._jobs.drop_unstarted(revoked)
        deadline = time.monotonic() + grace
        while not self._publisher.failed and time.monotonic() < deadline:
            self._publisher.poll()
            if not self._jobs.any_in(revoked):
                self._publisher.flush(1.0)  # rejected records are no jobs
                break
            await asyncio.sleep(0.005)
        due = self._jobs.to_commit_again(revoked)
        self._jobs.drop(revoked)
        return due

    async def _lose(self, partitions: Iterable[int]) -> None:
        self._jobs.drop(set(partitions))
