"""The Faust app: its settings and agents, wired to one router process's parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from streams.config.settings import Config
from streams.ingest.assignor import with_shared_numbers
from streams.ingest.chunks import chunked
from streams.kafka.fatal import or_die
from streams.kafka.security import for_faust
from streams.kafka.topics import Topics
from streams.metrics.server import Address
from streams.routing.build import Parts
from streams.runtime.partition_count import PartitionCount
from streams.runtime.process import Host, RouterProcess
from streams.runtime.topic_guard import guarded
from streams.state.local_tables import tables_of

EXPIRE_SECONDS = 1.0
REPORT_SECONDS = 0.5


class _Lifecycle:
    """Makes the process when the app starts, and hands it to those who wait for it."""

    def __init__(self, new_process: Callable[[], RouterProcess]) -> None:
        self._new_process = new_process
        self._started = asyncio.Event()
        self.process: RouterProcess | None = None
        """None until it has started."""

    async def start(self) -> None:
        process = self._new_process()
        await process.start()
        self.process = process
        self._started.set()

    async def started(self) -> RouterProcess:
        await self._started.wait()
        assert self.process is not None
        return self.process


def create_app(
    config: Config,
    parts: Parts,
    data_dir: Path,
    metrics: Address | None = None,
    partitions: int | None = None,
) -> faust.App:
    """Make the app of one router process; it opens nothing before it starts.

    Args:
        config: The configuration.
        parts: What follows from it and from the index.
        data_dir: Where this process, and no other, keeps its tables.
        metrics: Where Prometheus may ask; None for nowhere.
        partitions: Of the queries, as the broker has them; None for the configured number.
    """
    topics = Topics(config.topics.prefix)
    count = config.topics.partitions if partitions is None else partitions
    guarded_topics = [t for t in topics.planned([], count) if t.name in guarded(topics)]
    in_use = PartitionCount(guarded_topics, topics.queries, count)
    app = _faust_app(config, topics, data_dir, in_use)
    host, tables = _host(app, topics.queries, in_use), tables_of(config.router.store, data_dir)
    lifecycle = _Lifecycle(lambda: RouterProcess(config, parts, topics, host, tables, metrics))
    for name, topic, number in (
        ("route", topics.queries, count),
        ("settle", topics.results, count),
        ("grant", topics.share_grants, count),
        ("control", topics.share_reports, 1),
    ):
        _agent(app, name, topic, number, lifecycle)
    _tasks(app, lifecycle)
    return app


def _host(app: faust.App, queries: str, in_use: PartitionCount) -> Host:
    """Let the process ask the app."""

    def assigned() -> set[int]:
        if app.rebalancing:
            return set()
        return {tp.partition for tp in app.consumer.assignment() if tp.topic == queries}

    def highwater(number: int) -> int | None:
        with suppress(AssertionError):  # the partition has just been revoked
            end: int | None = app.consumer.highwater(TP(queries, number))
            return end
        return None

    async def rejoin() -> None:
        consumer: Any = app.consumer  # of our transport
        await consumer.rejoin()

    return Host(assigned, highwater, in_use, rejoin)


def _tasks(app: faust.App, lifecycle: _Lifecycle) -> None:
    """Have the app start, run and stop the process."""

    async def start() -> None:
        await or_die("starting", lifecycle.start())

    async def report() -> None:
        if (process := lifecycle.process) is not None:
            await or_die("reporting", process.report())

    async def expire() -> None:
        if (process := lifecycle.process) is not None:
            await or_die("releasing reservations", process.expire())

    async def on_revoked(*_: Any, **__: Any) -> None:
        if (process := lifecycle.process) is not None:
            await process.revoke()
            await app.consumer.commit()

    async def on_shutdown(*_: Any, **__: Any) -> None:
        await on_revoked()
        if (process := lifecycle.process) is not None:
            await process.close()

    app.task(start)
    app.timer(REPORT_SECONDS)(report)
    app.timer(EXPIRE_SECONDS)(expire)
    app.on_partitions_revoked.connect(on_revoked, weak=False)
    app.on_before_shutdown.connect(on_shutdown, weak=False)


def _agent(app: faust.App, name: str, topic: str, partitions: int, lifecycle: _Lifecycle) -> None:
    async def run(stream: Any) -> None:
        process = await lifecycle.started()
        async for event in stream.noack().events():
            await process.queues[name].put(event)

    app.agent(_raw_topic(app, topic, partitions), name=name)(run)


def _raw_topic(app: faust.App, name: str, partitions: int) -> Any:
    """Bytes in, bytes out: a wrong typed value would crash the agent unseen."""
    return app.topic(
        name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
    )


def _faust_app(config: Config, topics: Topics, data_dir: Path, in_use: PartitionCount) -> faust.App:
    router = config.router
    numbered = {topics.queries, topics.results, topics.share_grants}
    return faust.App(
        router.id,
        broker=[f"sluice://{server}" for server in config.broker.servers.split(",")],
        datadir=str(data_dir),
        topic_partitions=in_use.value,
        table_standby_replicas=1,  # no table is Faust's; without it, its assignor would not be used
        topic_allow_declare=False,
        topic_disable_leader=True,
        ConsumerScheduler=chunked(router.chunk),
        PartitionAssignor=with_shared_numbers(numbered, lambda: in_use.value),
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        broker_session_timeout=router.session_timeout,
        broker_heartbeat_interval=router.session_timeout / 3,
        broker_max_poll_records=router.chunk * in_use.value,
        stream_buffer_maxsize=8,  # chunks
        stream_recovery_delay=0.0,  # before anything is fetched, though nothing is recovered
        stream_wait_empty=False,  # queues finish by themselves; deferred chunks wait for long
        web_enabled=False,
        worker_redirect_stdouts=False,
        **for_faust(config.broker),
    )
