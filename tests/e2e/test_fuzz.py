"""Damaged messages on every topic that a router reads: it goes on, and no money moves."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas import BudgetControl, Control, ModelControl, Receipt
from schemas.control import control_key
from schemas.wire import decode, encode
from streams.brokers.kafka import KafkaServer
from streams.control.registry import Registry
from tests.support import invariants
from tests.support.fuzz import damaged
from tests.support.system import System

NEWCOMER = "llama-2-70b"
TERMS = ("--input-price", "0", "--output-price", "0.001", "--limit", "1", "--context", "1000000000")
COUNT = int(os.environ.get("SLUICE_FUZZ", "10000"))
"""Messages on each topic."""


@pytest.mark.kafka
def test_fuzz(kafka_broker: KafkaServer, tmp_path: Path, prefix: str) -> None:
    """10,000 damaged messages on each input topic: no process ends; results and reports that nobody
    awaits change no account, nor do orders, and queries after them are decided and settled as
    ever."""
    with System(kafka_broker, tmp_path, prefix, size=500, store="rocksdb", plenty=100.0) as system:
        topics = system.topics
        router = system.start_router("r0")
        system.answer()
        system.sluice("model", "add", NEWCOMER, *TERMS)
        system.joined(NEWCOMER, 10**9)
        system.answer(0.0, NEWCOMER)
        system.produce(0, 300)
        system.wait_settled()
        good = {
            topic: [record.value or b"" for record in system.read(topic)]
            for topic in (topics.results, topics.share_reports)
        }
        before = _money(system)
        for seed, (topic, messages) in enumerate(good.items()):
            _send(system, topic, messages, seed)
        system.wait("all damage to be read", lambda: _all_committed(system))
        assert _money(system) == before, "damaged results or reports moved money"

        _send_orders(system)
        version = _restore(system)
        system.produce_meanwhile(300, 400, rate=20)
        system.wait("the orders to be followed", lambda: _oldest_orders(system) >= version)
        system.wait_settled()

        _send(system, topics.queries, _queries(system), 9)
        system.produce(400, 500)
        system.wait_settled()
        story = invariants.hold(system)
        assert router.process.poll() is None, router.tail()
        assert len(story.rejected) > COUNT, "the damage was too small to be noticed"


def _queries(system: System) -> list[bytes]:
    """Queries in every form; none may cost anything, so that hardly any can be routed."""
    prompts = [orjson.loads(value)["prompt"] for value in list(system.sent.values())[:20]]
    forms: list[dict[str, object]] = []
    for number, prompt in enumerate(prompts):
        common = {"id": f"fuzz-{number}", "max_cost": 0, "tenant": "t", "metadata": {"a": 1}}
        forms.append({**common, "prompt": prompt, "allowed_models": list(system.models)})
        messages = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
        forms.append({**common, "payload": {"messages": messages, "max_tokens": 50}})
        forms.append({**common, "prompt": prompt, "embedding": [0.5, 0.5], "deadline": 2e9})
    return [orjson.dumps(form) for form in forms]


def _send(system: System, topic: str, messages: list[bytes], seed: int) -> None:
    for number, value in enumerate(damaged(messages, COUNT, seed)):
        system.send(topic, value, b"fuzz", number % system.counts[topic])
    system.flush()


def _send_orders(system: System) -> None:
    """Damaged orders under the keys of the good ones: under others none would be followed. What is
    left of them may be a good order: then it counts, but moves no money (`invariants.hold`)."""
    orders: list[Control] = [
        ModelControl(name=name, action=action)
        for name in system.models
        for action in ("pause", "resume", "remove")
    ]
    for name, limit in zip(system.models, system.limits, strict=True):
        orders.append(BudgetControl(model=name, limit=limit // 2, window="day", start=1e9))
        orders.append(
            ModelControl(name=name, action="add", input_price=1, output_price=1, limit=limit)
        )
    for seed, order in enumerate(orders):
        key = control_key(order).encode()
        for value in damaged([encode(order)], COUNT // len(orders) + 1, seed):
            system.send(system.topics.control, value, key, 0)
    system.flush()


def _restore(system: System) -> int:
    """Order everything as it was; the invariants know of the highest limits that were ordered
    meanwhile. Returns the version of the last order."""
    limits = dict(zip(system.models, system.limits, strict=True))
    registry, highest, followed = Registry(models=system.models[:-1]), dict(limits), 0
    for record in system.read(system.topics.control):
        followed += registry.read(record.key, record.value, record.offset) is None
        now = registry.limits(limits)
        highest = {name: max(limit, now[name]) for name, limit in highest.items()}
    print(f"{followed} of {registry.version} orders could be followed")
    for name, limit in limits.items():
        for order in (
            ("budget", "set", name, f"{limit / 1e9:.9f}"),
            ("model", "resume", name),
        ):
            system.sluice(*order)
    system.limits[:] = list(highest.values())
    return system.read(system.topics.control)[-1].offset + 1


def _oldest_orders(system: System) -> int:
    """The version that all partitions have decided under."""
    known = [0] * system.partitions
    for record in system.read(system.topics.receipts):
        receipt = decode(Receipt, record.value)
        number = receipt.source.partition
        known[number] = max(known[number], receipt.control_version)
    return min(known)


def _money(system: System) -> dict[int, dict[str, tuple[int, int]]]:
    """Reserved and spent by partition and model. Shares may move meanwhile, as they always do."""
    return {
        number: {name: (one.reserved, one.spent) for name, one in state.accounts.items()}
        for number, state in system.states().items()
    }


def _all_committed(system: System) -> bool:
    """Whether the routers have committed everything that there was on their topics."""
    return all(behind == 0 for behind in _lag(system).values())


def _lag(system: System) -> dict[tuple[str, int], int]:
    """Records behind what the routers have committed, by topic and partition of input."""
    topics = (system.topics.queries, system.topics.results, system.topics.share_reports)
    places = [TopicPartition(topic, n) for topic in topics for n in range(system.counts[topic])]
    asked = {"bootstrap.servers": system.broker.servers, "group.id": system.group, "log_level": 0}
    client = Consumer(asked)
    try:
        return {
            (place.topic, place.partition): client.get_watermark_offsets(place)[1]
            - max(place.offset, 0)
            for place in client.committed(places, timeout=10.0)
        }
    finally:
        client.close()
