"""Every live policy through the same whole system: a kill, the audit, the decisions replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas import Prices, Receipt
from schemas.wire import decode
from streams.brokers.kafka import KafkaServer
from tests.support.system import System


def states(system: System) -> list[dict[str, Any]]:
    """What the policy has published, in order."""
    return [decode(Prices, one.value).state for one in system.read(system.topics.prices)]


def learned(policy: str, published: Sequence[Mapping[str, Any]]) -> bool:
    """Whether ratings have moved, or each floor has a queue."""
    if policy == "eagle":
        return bool(published[0]["ratings"] != published[-1]["ratings"])
    if policy == "quality-floor":
        return {"0.6", "0.7/shop"} <= set(published[-1]["worths"])
    return True


def repeated(system: System, out: Path, receipts: Sequence[Receipt]) -> None:
    """Audit the ledger and re-execute every decision: all must come out as they were."""
    system.sluice("audit")
    system.sluice("replay", "--verify", "--json", str(out))
    parts = orjson.loads(out.read_bytes())["partitions"]
    assert sum(part["adopted"] for part in parts) == 0
    decisions = {receipt.decision_id for receipt in receipts}
    assert sum(part["decisions"] for part in parts) == len(decisions)


def share(system: System, model: str, ids: Sequence[str]) -> float:
    """The part of queries that was routed to a model."""
    asked = set(ids)
    receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
    routed = [one for one in receipts if one.id in asked and one.decision == "routed"]
    return sum(one.model == model for one in routed) / len(routed)


@pytest.mark.kafka
def test_a_model_that_gets_worse_loses_its_share(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """Half-way its answers score nothing: judged answers correct what was estimated of it, with the
    same index, and others are asked. Replay and audit agree."""
    settings: dict[str, dict[str, object]] = {
        "policy": {"resolve_every": 20, "resolve_seconds": 0.2, "corrections": True}
    }
    with System(kafka_broker, tmp_path, prefix, size=600, plenty=30.0, settings=settings) as system:
        system.start_router("r0")
        system.answer()
        ids = list(system.queries.ids)
        system.produce(0, 100)
        system.wait_settled()
        model = max(system.models, key=lambda name: share(system, name, ids[:100]))
        before = share(system, model, ids[:100])
        assert before > 0.5
        system.stop_answers()
        system.queries.scores[:, system.models.index(model)] = 0.0
        system.answer()
        blocks = iter(range(100, system.size, 20))

        def lost() -> bool:
            first = next(blocks)
            system.produce(first, first + 20)
            system.wait_settled()  # its outcomes come before the next are asked
            return share(system, model, ids[first : first + 20]) < before / 2

        system.wait("the model to lose its share", lost)
        assert system.stop("r0") == 0
        receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
        assert {receipt.index for receipt in receipts} == {receipts[0].index}
        assert states(system)[-1]["corrections"].keys() <= set(system.models)
        repeated(system, tmp_path / "verified.json", receipts)


@pytest.mark.kafka
@pytest.mark.parametrize("policy", ["primal-dual", "quality-floor", "eagle"])
def test_a_policy_lives_on_a_log(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str, policy: str
) -> None:
    """Over a kill, with states of the policy that are published while it decides: every query is
    settled, the ledger is what the log adds up to, and every decision comes out byte for byte.
    A floor of a tenant's own is in force at once when it is set."""
    settings: dict[str, dict[str, object]] = {
        "policy": {"name": policy, "resolve_every": 20, "resolve_seconds": 0.2},
        "deferral": {"retry_seconds": 1},
    }
    floors, tenants = policy == "quality-floor", (None, "shop")
    if floors:
        settings["policy"]["floor"] = 0.6
        settings["tenants.shop"] = {"floor": 0.65}
    with System(
        kafka_broker,
        tmp_path,
        prefix,
        size=120,
        store="rocksdb",
        plenty=3.0,
        settings=settings,
        tenants=tenants,
    ) as system:
        system.start_router("r0")
        system.answer()
        system.produce(0, 60, rate=100)
        system.wait("some decisions", lambda: len(system.decided()) >= 30)
        system.kill("r0")
        if floors:
            system.sluice("floor", "set", "0.7", "--tenant", "shop")
        system.start_router("r0")
        system.wait("a published state", lambda: bool(states(system)))
        for first in range(60, 120, 10):  # routers take over a state between two of these
            system.produce(first, first + 10)
            system.wait_decided()
        system.wait_settled()
        system.wait("what the policy learns", lambda: learned(policy, states(system)))
        assert system.stop("r0") == 0

        receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
        assert {receipt.policy for receipt in receipts} == {policy}
        assert len({receipt.price_version for receipt in receipts}) > 1, "one state decided all"
        repeated(system, tmp_path / "verified.json", receipts)
        if floors:
            assert {receipt.floor for receipt in receipts} == {0.6, 0.65, 0.7}
