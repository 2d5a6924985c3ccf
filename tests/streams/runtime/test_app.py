"""What must hold of the app: it reads the right topics, and waits for its process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import faust
import pytest

from streams.ingest.assignor import SharedNumbers
from streams.kafka.topics import Topics
from streams.runtime.app import _host, _Lifecycle, create_app
from streams.runtime.partition_count import PartitionCount
from tests.support.router_config import router_config, router_parts


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    return create_app(router_config(tmp_path), router_parts(), tmp_path / "r1")


def test_agents_have_their_topics(app: faust.App) -> None:
    """By these names of the process's queues; changelogs are read by claims, and not by Faust."""
    topics = Topics()
    found = {name: agent.channel.get_topic_name() for name, agent in app.agents.items()}
    assert found == {
        "route": topics.queries,
        "settle": topics.results,
        "grant": topics.share_grants,
        "control": topics.share_reports,
    }
    assert not app.tables


def test_partitions_are_assigned_by_our_assignor(app: faust.App) -> None:
    """An app without tables would get another, that knows of no shared numbers; and no partition
    is read by a process that does not own it."""
    consumer: Any = app.consumer
    thread = consumer._new_consumer_thread()
    with patch("aiokafka.AIOKafkaConsumer") as made:
        thread._create_worker_consumer(app.transport)
    assert made.call_args.kwargs["partition_assignment_strategy"] == [app.assignor]
    assert isinstance(app.assignor, SharedNumbers)
    assert app.assignor.replicas == 0


async def test_agents_wait_for_the_process() -> None:
    """Until it has started; the timers find none before that."""
    let, begun = asyncio.Event(), asyncio.Event()

    async def start() -> None:
        begun.set()
        await let.wait()

    made: Any = SimpleNamespace(start=start)
    lifecycle = _Lifecycle(lambda: made)
    starting, waiting = (
        asyncio.create_task(lifecycle.start()),
        asyncio.create_task(lifecycle.started()),
    )
    await begun.wait()
    assert lifecycle.process is None
    assert not waiting.done()
    let.set()
    await starting
    assert await waiting is lifecycle.process is made


def test_nothing_is_assigned_during_a_rebalance() -> None:
    """It may begin at any time; of a revoked partition no end is known."""

    def highwater(_: Any) -> int:
        raise AssertionError("not assigned")

    tps = [
        SimpleNamespace(topic=topic, partition=3 + i) for i, topic in enumerate(("queries", "x"))
    ]
    consumer = SimpleNamespace(assignment=lambda: tps, highwater=highwater)
    fake: Any = SimpleNamespace(rebalancing=False, consumer=consumer)
    host = _host(fake, "queries", PartitionCount([], "queries", 4))
    assert set(host.assigned()) == {3}
    assert host.highwater(3) is None
    fake.rebalancing = True
    assert set(host.assigned()) == set()
