"""A topic that is deleted and made again under a deployment."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from streams.brokers.kafka import KafkaServer
from streams.client import AsyncClient, ClientError
from streams.config.settings import load
from streams.kafka import clients
from streams.kafka.fatal import EXIT_CODE
from streams.kafka.topics import create
from streams.kafka.waiting import until_answered
from tests.support.patience import PATIENCE
from tests.support.serving import Serving
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


def words_at_its_end(system: System, name: str, code: int = EXIT_CODE) -> str:
    """Wait until a process ends by itself, and return what it says last."""
    child = system.children[name]
    child.stopping = True
    assert child.process.wait(PATIENCE) == code, child.tail()
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


@pytest.mark.kafka
def test_workers_fronts_and_clients_end_too(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says which topic it is; a worker that starts again reads the new one from its first
    record, and a client raises for whoever waits."""
    monkeypatch.setenv("SLUICE_BROKER", kafka_broker.servers)
    with Serving(kafka_broker, tmp_path, prefix) as system:
        system.begin()
        model = system.models[0]
        assert asked(system, model, "before") == "before"
        routed = system.topics.routed(model)
        worker = system.children["echo"]
        worker.stopping = True
        recreate(system, routed)
        worker.process.wait(PATIENCE)
        # It may have noticed that the topic was gone before there was another.
        assert re.search(f"{routed}( is not the one that this process|: .*)", worker.last_words())
        system.start_echo("echo")
        assert asked(system, model, "after") == "after"
        system.stop("echo")
        asyncio.run(waits_in_vain(system))
        for name in ("r0", "serve"):
            said = words_at_its_end(system, name)
            assert f"topic {system.topics.results} is not the one that this process" in said


def asked(system: Serving, model: str, words: str) -> str | None:
    """Ask a model, through the front."""
    message = {"role": "user", "content": words}
    answer = system.client().chat.completions.create(model=model, messages=[message])  # type: ignore[list-item]  # a mapping will do
    return answer.choices[0].message.content


async def waits_in_vain(system: Serving) -> None:
    """Wait for an answer that nobody gives, while `results` is made again."""
    async with AsyncClient(load(system.config)) as client:
        id = await client.submit("nobody answers")
        waiting = asyncio.create_task(client.wait(id))
        for name in ("r0", "serve"):
            system.children[name].stopping = True
        await asyncio.to_thread(recreate, system, system.topics.results)
        with pytest.raises(ClientError, match=r"deleted and made again|results: "):
            await asyncio.wait_for(waiting, PATIENCE)
        with pytest.raises(ClientError):
            await client.submit("one more")
