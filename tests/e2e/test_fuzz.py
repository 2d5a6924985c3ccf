"""Damaged messages on every topic that a router reads: it goes on, and no money moves."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from streams.brokers.kafka import KafkaServer
from tests import invariants
from tests.e2e.fuzz import damaged
from tests.system import System

COUNT = int(os.environ.get("SLUICE_FUZZ", "10000"))
"""Messages on each topic."""


@pytest.mark.kafka
def test_fuzz(kafka_broker: KafkaServer, tmp_path: Path, prefix: str) -> None:
    """10,000 damaged messages on each input topic: no process ends, results and reports that
    nobody awaits change no account, and queries after them are decided and settled as ever."""
    with System(kafka_broker, tmp_path, prefix, size=400, store="rocksdb", plenty=3.0) as system:
        topics = system.topics
        router = system.start_router("r0")
        system.answer()
        system.produce(0, 300)
        system.wait_settled()
        good = {
            topic: [record.value or b"" for record in system.read(topic)]
            for topic in (topics.results, topics.share_reports)
        }
        before = _money(system)
        for seed, (topic, messages) in enumerate(good.items()):
            _send(system, topic, messages, seed)
        system.wait("all damage to be read", lambda: _all_committed(system), 120)
        assert _money(system) == before, "damaged results or reports moved money"

        _send(system, topics.queries, _queries(system), 9)
        system.produce(300, 400)
        system.wait_settled(120)
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


def _money(system: System) -> dict[int, dict[str, tuple[int, int]]]:
    """Reserved and spent by partition and model. Shares may move meanwhile, as they always do."""
    return {
        number: {name: (one.reserved, one.spent) for name, one in state.accounts.items()}
        for number, state in system.states().items()
    }


def _all_committed(system: System) -> bool:
    """Whether the routers have committed everything that there was on their topics."""
    return all(behind == 0 for behind in system.lag().values())
