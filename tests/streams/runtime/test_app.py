"""What must hold of the app: it reads the right topics, and waits for its process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest

from streams.kafka.topics import Topics
from streams.runtime.app import _host, _Lifecycle, create_app
from streams.runtime.growth import PartitionCount
from tests.support.router_config import router_config, router_parts


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    return create_app(router_config(tmp_path), router_parts(), tmp_path / "r1")


def test_agents_and_tables_have_their_topics(app: faust.App) -> None:
    """By these names: the agents' queues, and the changelogs that other versions wrote."""
    topics = Topics()
    found = {name: agent.channel.get_topic_name() for name, agent in app.agents.items()}
    assert found == {
        "route": topics.queries,
        "settle": topics.results,
        "grant": topics.share_grants,
        "control": topics.share_reports,
    }
    tables = {name: list(table.changelog_topic.topics) for name, table in app.tables.items()}
    assert tables == {
        "partitions": [topics.changelog],
        "controller": [topics.controller_changelog],
    }


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
    """Nor while tables recover; of a revoked partition no end is known."""

    def highwater(_: Any) -> int:
        raise AssertionError("not assigned")

    tps = [
        SimpleNamespace(topic=topic, partition=3 + i) for i, topic in enumerate(("queries", "x"))
    ]
    consumer = SimpleNamespace(assignment=lambda: tps, highwater=highwater)
    fake: Any = SimpleNamespace(rebalancing=False, in_recovery=False, consumer=consumer)
    host = _host(fake, "queries", None, None, PartitionCount([], "queries", 4))
    assert set(host.assigned()) == {3}
    assert host.highwater(3) is None
    for field in ("rebalancing", "in_recovery"):
        setattr(fake, field, True)
        assert set(host.assigned()) == set()
        setattr(fake, field, False)
