"""A topic that is deleted and made again under a deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.brokers.kafka import KafkaServer
from streams.kafka import clients
from streams.kafka.fatal import EXIT_CODE
from streams.kafka.topics import create
from streams.kafka.waiting import until_answered
from tests.support.patience import PATIENCE
from tests.support.system import System


def recreate(system: System, name: str) -> None:
    """Delete a topic, and make it again as it was."""
    admin = clients.admin({"bootstrap.servers": system.broker.servers})
    planned = system.topics.planned(system.models, system.partitions, model_partitions=1)
    admin.delete_topics([name])[name].result(PATIENCE)

    def make() -> None:
        if name in admin.list_topics(timeout=10.0).topics:
            raise TimeoutError(f"{name} is still there")
        create(admin, [topic for topic in planned if topic.name == name])

    until_answered("making it again", make, PATIENCE)


def words_at_its_end(system: System, name: str) -> str:
    """Wait until a router ends by itself, and return what it says last."""
    child = system.children[name]
    child.stopping = True
    assert child.process.wait(PATIENCE) == EXIT_CODE, child.tail()
    return child.last_words()


@pytest.mark.kafka
@pytest.mark.parametrize("which", ["queries", "results"])
def test_a_running_router_ends_and_does_not_start_again(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str, which: str
) -> None:
    """It names the topic and both of its lives, before it decides or settles anything of the new
    one; a start on the old state ends alike."""
    with System(kafka_broker, tmp_path, prefix, size=40, plenty=100.0) as system:
        system.start_router("r0")
        system.answer()
        system.produce(0, 20)
        system.wait_settled()
        receipts = len(system.read(system.topics.receipts))
        system.stop_answers()
        name = getattr(system.topics, which)
        recreate(system, name)
        said = words_at_its_end(system, "r0")
        assert f"topic {name} is not the one that" in said
        assert "deleted and made again" in said
        system.produce(20, 40)
        system.start_router("r0")
        assert f"topic {name} is not the one that the state of" in words_at_its_end(system, "r0")
        after = system.read(system.topics.receipts)[receipts:]
        # Before `results` was noticed, good queries may have been decided; never others.
        assert not after or which == "results"


@pytest.mark.kafka
def test_a_changelog_that_is_gone_is_missed(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """Money that was spent is not forgotten: queries were decided, and no state says so."""
    with System(kafka_broker, tmp_path, prefix, size=20, plenty=100.0) as system:
        system.start_router("r0")
        system.answer()
        system.produce()
        system.wait_settled()
        assert system.stop("r0") == 0
        system.stop_answers()
        recreate(system, system.topics.changelog)
        system.start_router("r0")
        said = words_at_its_end(system, "r0")
        assert f"{system.topics.changelog} has no state of partition" in said
