"""The Faust app: its settings, tables and agents, wired to one router process's parts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import faust

from streams.config.settings import Config
from streams.ingest.chunks import chunked
from streams.kafka.fatal import or_die
from streams.kafka.security import for_faust
from streams.kafka.topics import Topics
from streams.metrics.router import Address
from streams.routing.build import Parts
from streams.runtime.process import Process

EXPIRE_SECONDS = 1.0
REPORT_SECONDS = 0.5


def create_app(
    config: Config, parts: Parts, data_dir: Path, metrics: Address | None = None
) -> faust.App:
    """Make the app of one router process; it opens nothing before it starts.

    data_dir: where this process, and no other, keeps its tables; metrics: where Prometheus may ask,
    None for nowhere.
    """
    topics = Topics(config.topics.prefix)
    app = _faust_app(config, topics, data_dir)
    count = config.topics.partitions
    process = Process(
        config,
        parts,
        topics,
        app,
        partitions=_table(app, "partitions", topics.changelog, count),
        accounts=_table(app, "controller", topics.controller_changelog, 1),
        metrics=metrics,
    )
    started = asyncio.Event()
    for name, topic, partitions in (
        ("route", topics.queries, count),
        ("settle", topics.results, count),
        ("grant", topics.share_grants, count),
        ("control", topics.share_reports, 1),
    ):
        _agent(app, name, topic, partitions, process, started)

    async def start() -> None:
        await or_die("starting", process.open())
        started.set()

    async def report() -> None:
        if started.is_set():
            await or_die("reporting", process.report())

    async def expire() -> None:
        if started.is_set():
            await or_die("releasing reservations", process.expire())

    async def on_revoked(*_: Any, **__: Any) -> None:
        if started.is_set():
            await process.give_up()
            await app.consumer.commit()

    async def on_shutdown(*_: Any, **__: Any) -> None:
        if started.is_set():
            await process.give_up()
            await app.consumer.commit()
            await process.close()

    app.task(start)
    app.timer(REPORT_SECONDS)(report)
    app.timer(EXPIRE_SECONDS)(expire)
    app.on_partitions_revoked.connect(on_revoked, weak=False)
    app.on_before_shutdown.connect(on_shutdown, weak=False)
    return app


def _agent(
    app: faust.App, name: str, topic: str, partitions: int, process: Process, started: asyncio.Event
) -> None:
    async def run(stream: Any) -> None:
        await started.wait()
        async for event in stream.noack().events():
            await process.lanes[name].put(event)

    app.agent(_raw_topic(app, topic, partitions), name=name)(run)


def _table(app: faust.App, name: str, changelog: str, partitions: int) -> Any:
    topic = _raw_topic(app, changelog, partitions, acks=False, internal=True)
    return app.Table(name, partitions=partitions, changelog_topic=topic)


def _raw_topic(app: faust.App, name: str, partitions: int, **settings: Any) -> Any:
    """Bytes in, bytes out: a typed value that is wrong would crash the agent unseen."""
    return app.topic(
        name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
        **settings,
    )


def _faust_app(config: Config, topics: Topics, data_dir: Path) -> faust.App:
    router = config.router
    inputs = {
        topics.queries,
        topics.results,
        topics.share_grants,
        topics.share_reports,
    }
    return faust.App(
        router.id,
        broker=[f"sluice://{server}" for server in config.broker.servers.split(",")],
        store=f"sluice-{router.store}://",
        datadir=str(data_dir),
        topic_partitions=config.topics.partitions,
        table_standby_replicas=0,  # see docs/decisions/0002
        topic_allow_declare=False,
        topic_disable_leader=True,
        ConsumerScheduler=chunked(inputs, router.chunk),
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        broker_session_timeout=router.session_timeout,
        broker_heartbeat_interval=router.session_timeout / 3,
        broker_max_poll_records=router.chunk * config.topics.partitions,
        stream_buffer_maxsize=8,  # chunks
        stream_recovery_delay=0.0,
        stream_wait_empty=False,  # lanes finish by themselves; deferred chunks wait for long
        web_enabled=False,
        worker_redirect_stdouts=False,
        **for_faust(config.broker),
    )
