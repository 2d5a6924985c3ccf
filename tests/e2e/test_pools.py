"""A model that two pools serve, on a whole system: by length, at their prices, audited."""

from __future__ import annotations

from pathlib import Path

import orjson
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient

from schemas import Receipt, Result, Routed
from schemas.wire import decode
from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from streams.cli import main
from streams.config.models import served
from streams.kafka.topics import create
from tests.support.records import Records
from tests.support.system import System

MODEL = "gpt-4-1106"
POOLS = {"short": 1_000, "long": 50_000}
LENGTHS = {"short": 50, "long": 5_000}
"""Output tokens that queries of each pool ask for."""
EACH = 20
SETTINGS: dict[str, dict[str, object]] = {
    f'models."{MODEL}"': {"input_price": "0.001", "output_price": "0.002"},
    **{f'models."{MODEL}".pools.{name}': {"context": of} for name, of in POOLS.items()},
}
SETTINGS[f'models."{MODEL}".pools.short']["output_price"] = "0.001"


def add_topics(system: System) -> None:
    """Make the topics of the pools, as `sluice topics create` does."""
    names = [served(MODEL, pool) for pool in POOLS]
    planned = system.topics.planned([*system.models, *names], system.partitions, 1)
    missing = [topic for topic in planned if topic.name not in system.counts]
    system.counts |= {topic.name: topic.partitions for topic in missing}
    if isinstance(system.broker, EmbeddedBroker):
        system.broker.create({topic.name: topic.partitions for topic in missing})
    else:
        create(AdminClient({"bootstrap.servers": system.broker.servers}), missing)
    system.records.close()
    system.records = Records(system.broker.servers, system.counts)


def ask(system: System) -> None:
    """Send queries of both lengths in turn, for this model only."""
    for number in range(2 * EACH):
        length = "short" if number % 2 else "long"
        asked = {
            "id": f"{length}-{number}",
            "prompt": "three words each",
            "max_tokens": LENGTHS[length],
            "allowed_models": [MODEL],
        }
        system.sent[str(asked["id"])] = data = orjson.dumps(asked)
        system.send(system.topics.queries, data, str(asked["id"]).encode())
    system.flush()


def test_each_query_goes_to_the_pool_of_its_length(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    """Its topic, receipt and result name the pool, and its price is charged. Replay and audit
    agree."""
    with System(broker, tmp_path, prefix, plenty=1e4, settings=SETTINGS) as system:
        add_topics(system)
        system.start_router("r0")
        config = ("--config", str(system.config))
        system.run("w0", "work", MODEL, "--echo", *config)
        ask(system)
        system.wait_settled()
        receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
        results = [decode(Result, one.value) for one in system.read(system.topics.results)]
        assert {receipt.decision for receipt in receipts} == {"routed"}
        for pool in POOLS:
            topic = system.topics.routed(served(MODEL, pool))
            routed = [decode(Routed, one.value) for one in system.read(topic)]
            ids = {id for id in system.sent if id.startswith(pool)}
            assert {one.id for one in routed if one.pool == pool} == ids
            assert {one.id for one in receipts if one.pool == pool} == ids
            assert {one.id for one in results if one.pool == pool} == ids
        assert not system.read(system.topics.routed(MODEL))
        # Three words of prompt and of answer: one and two nano-units a token, or one and one.
        spent = sum(state.accounts[MODEL].spent for state in system.states().values())
        assert spent == EACH * (3 + 6) + EACH * (3 + 3)
        for command in (("replay", "--verify"), ("audit",)):
            environment = {"SLUICE_BROKER": system.broker.servers}
            found = CliRunner().invoke(main, [*command, *config], env=environment)
            assert found.exit_code == 0, found.output
