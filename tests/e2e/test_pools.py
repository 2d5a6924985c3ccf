"""A model that two pools serve, on a whole system: by length, at their prices, audited."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, groupby
from pathlib import Path

import orjson
import pytest

from router.models.pools import served
from schemas import Prices, Receipt, Rejected, Result, Routed, ShareReport
from schemas.wire import decode
from streams.brokers import Broker
from streams.brokers.kafka import KafkaServer, free_port
from tests.support.scrape import samples
from tests.support.scripted_model import Reply, ScriptedModel, completion
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
        system.verify()


CONTEXTS = {"short": 2_000, "long": 128_000}
USUAL, LONG = "|-|\n" * 1_000, "|-|\n" * 33_000
"""Each word is a token, of 4 bytes; nobody knows that before there is usage."""
DENSE = "|\n" * 2_000
"""Of the same kind, with more tokens than others teach: they do not fit the short pool."""


class Words(ScriptedModel):
    """Counts each word as a token, and refuses what does not fit its context."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context

    def _answer(self, data: bytes) -> tuple[Reply, bytes]:
        body = orjson.loads(data)
        tokens = len(body["messages"][0]["content"].split())
        if tokens + body["max_tokens"] > self.context:
            refusal = b'{"error": {"message": "no", "code": "context_length_exceeded"}}'
            return Reply(refusal, 400), refusal
        usage = {"prompt_tokens": tokens, "completion_tokens": 1}
        return self.otherwise, completion(usage)


def answered_by(servers: Mapping[str, ScriptedModel]) -> dict[str, dict[str, object]]:
    """The settings of a model whose pools have these servers."""
    prices = {"input_price": "0.001", "output_price": "0.002"}
    return {
        "policy": {"resolve_seconds": 0.2},
        "failover": {"attempts": 1},
        "deferral": {"retry_seconds": 1},
        f'models."{MODEL}"': {**prices, "base_url": servers["long"].url},
        **{
            f'models."{MODEL}".pools.{name}': {"context": of, "base_url": servers[name].url}
            for name, of in CONTEXTS.items()
        },
    }


def send(system: System, prompts: Mapping[str, str]) -> None:
    """Send queries by id, for the model with the pools."""
    for name, prompt in prompts.items():
        asked = {"id": name, "prompt": prompt, "max_tokens": 10, "allowed_models": [MODEL]}
        system.sent[name] = data = orjson.dumps(asked)
        system.send(system.topics.queries, data, name.encode())
    system.flush()


def pools_of(system: System) -> dict[str, list[str | None]]:
    """The pools of each query's decisions, in order; a kill may have repeated a receipt."""
    found: dict[str, dict[str, str | None]] = {}
    for one in system.read(system.topics.receipts):
        receipt = decode(Receipt, one.value)
        found.setdefault(receipt.id, {})[receipt.decision_id] = receipt.pool
    return {id: list(pools.values()) for id, pools in found.items()}


def wait_learned(system: System) -> None:
    """Ask until a router counts by what it has learned, and takes the short pool for it."""

    def learned() -> bool:
        send(system, {f"asked-{len(system.sent)}": USUAL})
        system.wait_decided()
        return "short" in chain(*pools_of(system).values())

    system.wait("a learned length", learned)


@pytest.mark.kafka
def test_lengths_are_learned_from_usage(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """33,000 tokens fit 128,000 once usage has told how long such texts are, and shorter ones go to
    the short pool. What that refuses all the same goes to the long one. Replay and audit agree."""
    servers = {name: Words(context) for name, context in CONTEXTS.items()}
    settings = answered_by(servers)
    with System(kafka_broker, tmp_path, prefix, plenty=1e4, settings=settings) as system:
        system.start_router("r0")
        system.run("w0", "work", MODEL, "--config", str(system.config))
        send(system, {"too-long": LONG, **{f"taught-{number}": USUAL for number in range(12)}})
        system.wait_settled()
        (refused,) = [decode(Rejected, one.value) for one in system.read(system.topics.rejected)]
        assert (refused.id, refused.code) == ("too-long", "no_model_allowed")
        assert set(chain(*pools_of(system).values())) == {None, "long"}
        wait_learned(system)
        send(system, {"long": LONG, "dense": DENSE})
        system.wait("the second decision", lambda: pools_of(system).get("dense", [])[1:] != [])
        system.wait_settled()
        found = pools_of(system)
        assert (found["long"], found["dense"]) == (["long"], ["short", "long"])
        results = [decode(Result, one.value) for one in system.read(system.topics.results)]
        ends = {one.id: one.status_code for one in results}
        assert (ends["long"], ends["dense"]) == (200, 200)
        published = decode(Prices, system.read(system.topics.prices)[-1].value)
        assert published.token_ratios.keys() == {f"{MODEL}\tsigns"}
        system.verify()
    for server in servers.values():
        server.close()


CAPACITY = 10
SPILLING = {
    **SETTINGS,
    f'models."{MODEL}".pools.short': {
        **SETTINGS[f'models."{MODEL}".pools.short'],
        "capacity": CAPACITY,
    },
}


def ask_until(system: System, pool: str) -> str:
    """Send short queries, one by one, until one goes to a pool; return its id."""

    def arrived() -> bool:
        send(system, {f"until-{pool}-{len(system.sent)}": "three words each"})
        system.wait_decided()
        return pools_of(system)[list(system.sent)[-1]] == [pool]

    system.wait(f"a query in the pool {pool}", arrived)
    return list(system.sent)[-1]


def under_way(system: System) -> int:
    """Restart the router, and return how many queries are in the short pool by its reports, which
    its metrics show, too."""
    system.kill("r0")
    before = len(system.read(system.topics.share_reports))
    address, options = f"127.0.0.1:{free_port()}", ("--config", str(system.config), "--name", "r0")
    system.run("r0", "route", *options, "--metrics", address)

    def reports() -> dict[int, ShareReport]:
        records = system.read(system.topics.share_reports)[before:]
        return {one.partition: one for one in (decode(ShareReport, r.value) for r in records)}

    system.wait("a report of each partition", lambda: len(reports()) == system.partitions)
    name = served(MODEL, "short")
    shown = {
        sample.name: sample.value
        for sample in samples(address)
        if sample.labels.get("pool") == name
    }
    found = sum(one.in_flight.get(name, 0) for one in reports().values())
    assert shown == {"sluice_pool_in_flight": found, "sluice_pool_busy": 1}
    return found


@pytest.mark.kafka
def test_queries_spill_while_a_pool_is_busy(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """Those that the short pool holds go to the long one, at its price, also after a router's kill;
    they return when its answers have come. Replay and audit agree."""
    with System(kafka_broker, tmp_path, prefix, plenty=1e4, settings=SPILLING) as system:
        system.start_router("r0")
        send(system, {f"first-{number}": "three words each" for number in range(CAPACITY)})
        system.wait_decided()
        ask_until(system, "long")
        short = [pool for pool in chain(*pools_of(system).values()) if pool == "short"]
        assert under_way(system) == len(short) >= CAPACITY
        spilled = ask_until(system, "long")
        assert f"pool: long (busy: {served(MODEL, 'short')})" in system.sluice("explain", spilled)
        assert set(chain(*pools_of(system).values())) == {"short", "long"}
        system.run("w0", "work", MODEL, "--echo", "--config", str(system.config))
        system.wait_settled()
        ask_until(system, "short")
        system.wait_settled()
        found = [pool for (pool,) in pools_of(system).values()]
        spent = sum(state.accounts[MODEL].spent for state in system.states().values())
        assert spent == found.count("short") * (3 + 3) + found.count("long") * (3 + 6)
        published = [decode(Prices, one.value) for one in system.read(system.topics.prices)]
        changes = [busy for busy, _ in groupby(prices.busy_pools for prices in published)]
        assert changes[-2:] == [[served(MODEL, "short")], []]
        system.verify()
