"""Lives of topics, on a real broker; `tests/e2e/test_recreated_topics.py` has whole systems."""

from __future__ import annotations

import pytest

from streams.brokers.kafka import KafkaServer
from streams.kafka import clients
from streams.kafka.topic_ids import TopicWatch
from streams.kafka.waiting import until_answered
from tests.support.patience import PATIENCE


@pytest.mark.kafka
async def test_a_topic_made_again_is_told_and_a_missing_one_is_not(
    kafka_broker: KafkaServer, prefix: str
) -> None:
    """One that comes later is a new one; one that is gone is waited for."""
    first, later = f"{prefix}first", f"{prefix}later"
    kafka_broker.create({first: 1})
    told: list[str] = []
    counts: list[object] = []
    connection = {"bootstrap.servers": kafka_broker.servers}
    watch = TopicWatch(connection, (first, later), told.append, counts.append)
    await watch.start()
    assert set(watch.ids) == {first}
    kafka_broker.create({later: 2})
    await watch.look()
    assert (told, counts[-1]) == ([], {first: 1, later: 2})
    admin = clients.admin(connection)
    admin.delete_topics([first])[first].result(PATIENCE)

    def make() -> None:
        if first in admin.list_topics(timeout=10.0).topics:
            raise TimeoutError(f"{first} is still there")
        kafka_broker.create({first: 1})

    until_answered("making it again", make, PATIENCE)
    await watch.look()
    [line] = told
    assert f"topic {first} is not the one that this process knows" in line
    assert "deleted and made again" in line
