"""What the guard of topics compares, and when it looks.

`tests/e2e/test_recreated_topics.py` has it in a whole system.
"""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import Mock, patch

import pytest

from streams.brokers import Broker
from streams.brokers.kafka import KafkaServer
from streams.config.settings import Broker as BrokerSettings
from streams.kafka import topic_ids
from streams.kafka.logs import Record
from streams.kafka.topics import Topics
from streams.runtime import topic_guard
from streams.runtime.topic_guard import TopicGuard

TOPICS = Topics("shop.")
LIFE = {TOPICS.queries: "a", TOPICS.results: "b"}


class Died(Exception):
    """Instead of the end of the process."""


@pytest.fixture
def asked() -> Iterator[Mock]:
    """What the broker is asked for: it answers with `LIFE` until told otherwise."""
    with (
        patch.object(topic_ids, "read_ids", Mock(return_value=LIFE)),
        patch.object(topic_ids, "_describe", Mock(return_value=(LIFE, {}))) as ask,
        patch.object(topic_guard, "die", Mock(side_effect=Died)),
    ):
        yield ask


def guard() -> TopicGuard:
    return TopicGuard(BrokerSettings(servers="127.0.0.1:9"), TOPICS, "routers")


def records(*offsets: int) -> list[Record]:
    return [Record(TOPICS.queries, 0, offset, 0, None, b"", ()) for offset in offsets]


async def test_a_state_of_another_life_is_refused(asked: Mock) -> None:
    """Also where only one topic differs; what the state does not name, or the broker, is new."""
    own = guard()
    await own.check_state(0, LIFE)
    await own.check_state(0, {})
    await own.check_state(0, {"shop.gone": "x"})
    with pytest.raises(RuntimeError, match=r"topic shop\.results is not the one that the state of"):
        await own.check_state(0, {**LIFE, TOPICS.results: "old"})


async def test_it_looks_where_a_chunk_goes_back(asked: Mock) -> None:
    """A chunk that follows on the last one costs nothing."""
    own = guard()
    await own.check_state(0, LIFE)
    for chunk in (records(0, 1), records(2, 3), [], records(9)):
        await own.saw(chunk)
    asked.assert_not_called()
    await own.saw(records(0))
    asked.assert_called_once()
    asked.return_value = {**LIFE, TOPICS.queries: "new"}, {}
    with pytest.raises(Died):
        await own.saw(records(0))


async def test_an_embedded_broker_has_no_ids(embedded_broker: Broker) -> None:
    """Nothing is compared there, and a partition without a state is a new one."""
    own = TopicGuard(BrokerSettings(servers=embedded_broker.servers), TOPICS, "routers")
    await own.check_state(0, None)
    await own.watch()
    assert own.ids == {}


@pytest.mark.kafka
async def test_ids_of_a_real_broker(kafka_broker: KafkaServer, prefix: str) -> None:
    """Each topic has one; missing topics have none, and a group that committed nothing is new."""
    topics = Topics(prefix)
    kafka_broker.create({topics.queries: 1, topics.results: 1})
    own = TopicGuard(BrokerSettings(servers=kafka_broker.servers), topics, f"{prefix}routers")
    await own.check_state(0, None)
    assert set(own.ids) == {topics.queries, topics.results}
    assert len(set(own.ids.values())) == 2
