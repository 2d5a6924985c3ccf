"""A router process: its parts are built, started and stopped here."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from time import time
from typing import Any, NamedTuple

from router.models.pools import served
from router.policies.base import Policy
from schemas.wire import encode
from streams.config.settings import Config
from streams.control.grants import Grants
from streams.control.reports import report
from streams.ingest.partition_queues import PartitionQueues, unprepared
from streams.kafka.fatal import or_die
from streams.kafka.follower import Follower
from streams.kafka.logs import Logs
from streams.kafka.producer import Outbox
from streams.kafka.records import ConsumedRecord
from streams.kafka.starts import StartLog
from streams.kafka.topics import Topics
from streams.metrics.health import on_loop
from streams.metrics.router import Live, Metrics
from streams.metrics.server import Address
from streams.routing.build import Parts
from streams.routing.decide import Hold, PreparedChunk
from streams.routing.deferred_retry import DeferredRetry
from streams.routing.expiration import Expirer
from streams.routing.failover import Failover
from streams.routing.feedback import Feedback
from streams.routing.pipeline import DecisionPipeline
from streams.routing.reindex import follow_index
from streams.routing.settlement import Settler
from streams.runtime.control_plane import ControlPlane
from streams.runtime.controller_host import ControllerHost
from streams.runtime.partition_count import PartitionCount
from streams.runtime.partition_manager import PartitionManager, Revoked
from streams.runtime.topic_guard import TopicGuard
from streams.state.local_tables import Tables
from streams.state.partition import Partition
from streams.state.rows import Log

logger = logging.getLogger(__name__)

THREADS = 2
"""Chunks that are embedded and estimated at the same time."""
CHANGELOG_PATIENCE = 10.0
"""Seconds by which the acknowledgement of a write may be late in a process that is ready."""
NEWEST_PRICES = 100
"""Records of `prices` that a start reads. Each holds all prices; older ones are for replays."""

FAILOVER_SECONDS = 0.5
"""Between two looks at what has failed and is to go to another model."""

Records = Sequence[ConsumedRecord]
Queues = Mapping[str, PartitionQueues[Any]]
"""By agent. What they prepare is typed where each is made."""


class Host(NamedTuple):
    """What Faust tells the process, whenever it is asked.

    Attributes:
        assigned: Returns the partitions of `queries` that are assigned now; none during a
            rebalance, which may begin at any time.
        highwater: Returns where a partition of `queries` ended at the last fetch, None where that
            is not known.
        in_use: How many partitions are assigned to processes.
        rejoin: Has the partitions assigned again, after there are more.
    """

    assigned: Callable[[], Collection[int]]
    highwater: Callable[[int], int | None]
    in_use: PartitionCount
    rejoin: Callable[[], Coroutine[Any, Any, None]]


class RouterProcess:
    """Everything that one process runs, beside Faust. Make it on the running event loop.

    Size: it only puts parts together, and each of the more than a dozen is an attribute.

    Attributes:
        queues: Where each agent puts its chunks.
    """

    def __init__(
        self,
        config: Config,
        parts: Parts,
        topics: Topics,
        host: Host,
        tables: Tables,
        metrics: Address | None = None,
    ) -> None:
        """Connect to the broker.

        Args:
            config: The configuration.
            parts: What follows from it and from the index.
            topics: Names of all topics.
            host: The Faust app.
            tables: This process's own.
            metrics: Where Prometheus may ask; None for nowhere.
        """
        self._config = config
        self._topics = topics
        self._host = host
        self._exit = AsyncExitStack()
        self._exit.callback(tables.close)
        servers, security = config.broker.servers, config.broker.security
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="estimate")
        self._exit.callback(self._threads.shutdown)
        self._outbox = outbox = Outbox(servers, security)
        self._exit.callback(outbox.close)
        logs = Logs(config.broker)
        self._control = control = ControlPlane(config, parts, topics.control)
        self._guard = TopicGuard(config.broker, topics, config.router.id, self._follow_counts)
        self._partitions = PartitionManager(
            topics.changelog, tables.partitions, control, outbox, logs, self._guard
        )
        self._controller = ControllerHost(
            config, topics, tables.controller, control, outbox, logs, self._covering
        )
        self._metrics = Metrics(parts.scorer.catalog.names, self._live)
        control.listen(self._metrics.know_all)
        hold, again = config.reservation.deadline_seconds, config.failover.unbegun
        calls = StartLog(logs, topics.starts, hold).decisions
        self._expirer = Expirer(outbox, topics, hold, control.calendar.begins, calls, again)
        self.queues = self._new_queues()
        self._retry = self._new_retry()
        self._failover = Failover(logs, outbox, topics, self._partitions.owned)
        self._followers = self._new_followers()
        self._metrics_address = metrics
        self._started = False

    async def start(self) -> None:
        """Read the prices and commands that there are, and begin what runs beside the agents."""
        if self._metrics_address is not None:
            health = on_loop(self.not_ready)
            self._exit.callback(self._metrics.serve(*self._metrics_address, health))
        for follower in self._followers:
            await follower.caught_up()
        passes = self._retry.run(self._config.deferral.retry_seconds)
        indexes = follow_index(self._config, self._control.parts, self._take_index)
        self._run("looking at deferred queries", passes)
        self._run("failing over", self._failover.run(FAILOVER_SECONDS))
        self._run("following the index", indexes)
        self._run("watching the topics", self._guard.watch())
        _keep_what_is_loaded()
        self._started = True
        logger.info("routes queries of %s", self._topics.queries)

    def not_ready(self) -> list[str]:
        """Return why this process decides nothing now, a sentence for each reason."""
        if not self._started:
            return ["prices and commands are being read"]
        assigned = set(self._host.assigned())
        if not assigned:
            return ["owns no partition: a rebalance is under way, or others own all of them"]
        owned = {partition.number: partition for partition in self._partitions.owned()}
        found = [f"partition {number} is being claimed" for number in sorted(assigned - set(owned))]
        for number, partition in sorted(owned.items()):
            if partition.overdue > CHANGELOG_PATIENCE:
                late = f"{partition.overdue:.0f} seconds"
                found.append(f"partition {number}: the changelog is late by {late}")
        return found

    async def revoke(self) -> None:
        """Finish what is being decided and forget everything that may change hands."""
        async with self._retry.interrupted():
            await asyncio.gather(*(queues.close() for queues in self.queues.values()))
            await self._partitions.revoke()
        await self._controller.release()

    async def close(self) -> None:
        """Stop and disconnect."""
        await self._exit.aclose()

    async def report(self) -> None:
        """Tell the controller about every partition that this process owns."""
        batch = self._outbox.batch()
        for number in sorted(self._host.assigned()):
            if number not in self._host.assigned():
                break
            try:
                partition = await self._partitions.get(number)
            except Revoked:
                break
            async with partition.lock:
                partition.limit_tenants(self._control.in_force(partition.ledger))
                decider = self._control.decider
                message = report(partition, decider.scorer.known.names)
            batch.send(self._topics.share_reports, encode(message), b"%d" % number, 0)
        await batch.delivered()

    async def expire(self) -> None:
        """Release the reservations whose results have not come in time, and write heartbeats."""
        for partition in self._partitions.owned():
            await self._expirer.expire(partition, time())
            await partition.heartbeat()
        await self._controller.heartbeat()

    def _new_queues(self) -> Queues:
        """Make the queues of every agent; each chunk finds its partition claimed and loaded."""
        partition, outbox, topics = self._partitions.get, self._outbox, self._topics
        settler = Settler(
            lambda: self._control.decider.scorer.catalog,
            outbox,
            topics,
            self._metrics,
            self._config.failover.attempts,
            Feedback(lambda: self._control.decider.scorer, self._config.policy.corrections),
        )
        grants = Grants(outbox, topics)

        async def settle(number: int, records: Records) -> None:
            await self._guard.saw(records)
            await settler.settle(await partition(number), records)

        async def grant(number: int, records: Records) -> None:
            owned = await partition(number)
            await grants.take(owned, records)
            self._retry.granted(owned)

        async def control(_: int, records: Records) -> None:
            await self._controller.follow(records)

        return {
            "route": self._new_route_queues(),
            "settle": PartitionQueues("settling", unprepared, settle, self._config.router.chunk),
            "grant": PartitionQueues("taking shares", unprepared, grant),
            "control": PartitionQueues("planning", unprepared, control),
        }

    def _new_route_queues(self) -> PartitionQueues[PreparedChunk]:
        partition, router = self._partitions.get, self._config.router
        pipeline = self._new_pipeline("queries", self._config.deferral.max_waiting)

        async def prepare(chunks: Sequence[tuple[int, Records]]) -> Sequence[PreparedChunk]:
            for _, records in chunks:
                await self._guard.saw(records)
            owned = [(await partition(number), records) for number, records in chunks]
            return await pipeline.prepare_together(owned)

        async def waiting_first(number: int) -> None:
            await self._retry.waiting_first(await partition(number))

        async def finish(number: int, prepared: PreparedChunk) -> None:
            await pipeline.finish(await partition(number), prepared)

        return PartitionQueues(
            "routing",
            prepare,
            finish,
            router.chunk,
            observe=self._metrics.stage,
            open_first=partition,
            before=waiting_first,
            gather=router.gather_seconds,
        )

    def _new_pipeline(self, log: Log, max_waiting: int = sys.maxsize) -> DecisionPipeline:
        reservation = self._config.reservation
        return DecisionPipeline(
            log,
            lambda: self._control.decider,
            self._threads,
            self._control.calendar,
            self._outbox,
            self._topics,
            self._metrics,
            max_waiting,
            Hold(reservation.deadline_seconds, reservation.clock_margin),
        )

    def _new_followers(self) -> Sequence[Follower]:
        """Begin to follow prices and commands."""
        servers, security = self._config.broker.servers, self._config.broker.security
        control, topics = self._control, self._topics
        followers = (
            Follower(servers, topics.prices, control.apply_prices, security, NEWEST_PRICES),
            Follower(servers, topics.control, control.apply_command, security),
        )
        for follower in followers:
            self._exit.callback(follower.close)
        return followers

    def _new_retry(self) -> DeferredRetry:
        retry = DeferredRetry(
            self._config.broker.servers,
            self._config.broker.security,
            self._topics.deferred,
            self._new_pipeline("deferred"),
            self._partitions.owned,
            self._control.calendar,
        )
        self._exit.push_async_callback(retry.close)
        return retry

    def _run(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Run something until the process is closed; its failure ends the process."""
        task = asyncio.create_task(or_die(what, work))

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._exit.push_async_callback(stop)

    def _take_index(self, parts: Parts, policy: Policy) -> None:
        self._control.apply_index(parts, policy)
        _keep_what_is_loaded()

    def _follow_counts(self, counts: Mapping[str, int]) -> None:
        """Take part in sharing new partitions, where all topics have gained them."""
        if self._host.in_use.follow(counts):
            self._run("taking up new partitions", self._host.rejoin())

    async def _covering(self, number: int) -> int:
        """Return how many partitions are in use; asked again where one of that number reports."""
        if number >= self._host.in_use.value:
            await self._guard.look()
        return self._host.in_use.value

    def _live(self) -> Live:
        partitions, decider = self._partitions.owned(), self._control.decider
        return Live(
            ledgers=[partition.ledger for partition in partitions],
            waiting=sum(partition.waiting for partition in partitions),
            prices=self._control.prices(),
            price_version=decider.price_version,
            history=len(decider.scorer.estimator.history),
            limits=self._control.full_limits(),
            units=self._control.units(),
            window_ends=self._control.calendar.ends(time()),
            backlog={each.number: self._backlog(each) for each in partitions},
            partitions=self._host.in_use.value,
            unread=self._host.in_use.unread,
            pools=self._in_flight(partitions),
            busy_pools=self._control.observed.busy,
        )

    def _in_flight(self, partitions: Sequence[Partition]) -> Mapping[str, int]:
        """Return how many queries of some partitions wait for a result of each token pool."""
        models = self._control.decider.scorer.catalog.models
        known = [served(model.name, pool.name) for model in models for pool in model.pools]
        counts = [partition.in_flight.counts() for partition in partitions]
        return {pool: sum(each.get(pool, 0) for each in counts) for pool in known}

    def _backlog(self, partition: Partition) -> int:
        """Return how many records of `queries` are not decided, of those at the last fetch."""
        end = self._host.highwater(partition.number) or 0
        return max(end - partition.positions["queries"].decided - 1, 0)


def _keep_what_is_loaded() -> None:
    """Have full collections pass over what there is: walking it would delay queries."""
    gc.unfreeze()  # an index that has been replaced goes
    gc.collect()
    gc.freeze()
