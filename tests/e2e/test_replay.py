"""The log of a whole system read back: the same decisions, the same ledger, other policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec import structs

from schemas import Receipt
from schemas.wire import decode, encode
from streams.brokers import Broker
from streams.brokers.kafka import KafkaServer
from tests.support.system import System


def figures(path: Path) -> Any:
    return orjson.loads(path.read_bytes())


def looked_at_again(system: System) -> bool:
    """Whether a deferred query has been decided a second time."""
    receipts = (decode(Receipt, one.value) for one in system.read(system.topics.receipts))
    return any(receipt.source.topic == system.topics.deferred for receipt in receipts)


def answered(system: System) -> bool:
    """Whether there is a result of every decision."""
    receipts = (decode(Receipt, one.value) for one in system.read(system.topics.receipts))
    routed = {one.decision_id for one in receipts if one.decision == "routed"}
    return routed <= {one.json()["decision_id"] for one in system.read(system.topics.results)}


@pytest.mark.kafka
def test_the_same_again(kafka_broker: KafkaServer, tmp_path: Path, prefix: str) -> None:
    """Every decision taken again has its receipt's bytes, and the ledger is the live one (I6, I7):
    after a kill, with exploration, budgets that bind, queries looked at again, bad messages, and
    queries and results that come twice. A false receipt is found, by replay and by audit."""
    settings: dict[str, dict[str, object]] = {
        "policy": {"explore": 0.1, "resolve_every": 50, "resolve_seconds": 0.2},
        "deferral": {"retry_seconds": 1},
    }
    with System(
        kafka_broker, tmp_path, prefix, size=500, store="rocksdb", settings=settings
    ) as system:
        system.start_router("r0")
        system.start_router("r1")
        system.answer(twice=0.1)
        system.wait_members(2)  # else one might decide all, and be killed before its first report
        system.produce_meanwhile(0, 400, rate=100)
        system.wait("some decisions", lambda: len(system.decided()) >= 100)
        system.kill("r0")
        for bad in (b"not json", b'{"id":"late","prompt":"x","deadline":1}', b'{"id":"x"}'):
            system.send(system.topics.queries, bad, partition=1)
        system.start_router("r0")
        system.wait("the producer", system.produced)
        system.wait("new prices", lambda: bool(system.read(system.topics.prices)))
        system.produce(400, 500, rate=50)
        system.produce(0, 10)  # the same ids once more
        system.wait_settled()
        system.wait("a second look", lambda: looked_at_again(system))
        for name in ("r0", "r1"):
            assert system.stop(name) == 0

        out = tmp_path / "verified.json"
        system.sluice("replay", "--verify", "--json", str(out))
        verified = figures(out)
        receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
        decisions = {receipt.decision_id for receipt in receipts}
        assert sum(part["decisions"] for part in verified["partitions"]) == len(decisions)
        assert len({receipt.price_version for receipt in receipts}) > 1, "prices never moved"
        assert any(receipt.reason == "explore" for receipt in receipts)
        assert any(receipt.decision == "duplicate" for receipt in receipts)
        assert all(part["adopted"] == 0 for part in verified["partitions"])

        prom = tmp_path / "sluice_audit.prom"
        system.sluice("audit", "--json", str(out), "--metrics-file", str(prom))
        assert "sluice_audit_equal 1.0" in prom.read_text().splitlines()
        books = figures(out)
        assert books["equal"]
        for account in books["accounts"].values():
            assert account["spent"] == account["log_spent"]
            # A look at what waits may have come between the last settlement and the end.
            assert account["reserved"] == account["log_reserved"]

        routed = next(receipt for receipt in receipts if receipt.decision == "routed")
        false = structs.replace(routed, reserved=routed.reserved + 1)
        system.send(system.topics.receipts, encode(false), routed.id.encode())
        system.flush()
        for command in (["replay", "--verify"], ["audit"]):
            found = system.sluice(*command, code=1)
            assert routed.decision_id in found.replace("\n", "")


def test_other_policies(broker: Broker, tmp_path: Path, prefix: str) -> None:
    """With exploration in the log all estimates are there; the same call gives the same bytes; a
    part of the fleet, and a part of the time, can be asked for."""
    settings = {"policy": {"explore": 0.3}}
    with System(broker, tmp_path, prefix, size=300, settings=settings) as system:
        system.start_router("r0")
        system.answer()
        system.produce()
        system.wait_settled()
        assert system.stop("r0") == 0  # it goes on deciding what waits
        system.wait("the last answers", lambda: answered(system))
        out, again, lines = (tmp_path / name for name in ("a.json", "b.json", "decisions.jsonl"))
        asked = ("replay", "--policy", "primal-dual,random", "--budget", "0.5,1")
        system.sluice(*asked, "--json", str(out), "--decisions", str(lines))
        system.sluice(*asked, "--json", str(again))
        assert out.read_bytes() == again.read_bytes()
        values = figures(out)
        assert values["queries"] == 300
        assert values["explored"]
        assert [(one["policy"], one["budget"]) for one in values["policies"]] == [
            ("primal-dual", 0.5),
            ("random", 0.5),
            ("primal-dual", 1.0),
            ("random", 1.0),
        ]
        for one in values["policies"]:
            for name in ("imputed", "inverse", "self_normalised", "doubly_robust"):
                assert 0 <= one["score"][name]["mean"] <= 1
                assert one["score"][name]["half_width"] > 0
        assert len(lines.read_bytes().splitlines()) == 300

        cheap = system.models[0]
        asked = ("replay", "--policy", "primal-dual", "--models", cheap)
        system.sluice(*asked, "--decisions", lines)
        chosen = {orjson.loads(line)["model"] for line in lines.read_bytes().splitlines()}
        assert cheap in chosen <= {cheap, None}

        found = system.sluice("replay", "--policy", "random", "--from", "2100-01-01", code=1)
        assert "no query of that time has been decided" in found


def test_without_exploration(broker: Broker, tmp_path: Path, prefix: str) -> None:
    """It is said in words that such a log tells only of what policies agree on."""
    with System(broker, tmp_path, prefix, size=100) as system:
        system.start_router("r0")
        system.answer()
        system.produce()
        system.wait_settled()
        out = tmp_path / "out.json"
        found = system.sluice("replay", "--policy", "random", "--json", str(out))
        assert "did not explore" in found
        values = figures(out)
        assert not values["explored"]
        assert values["policies"][0]["score"]["inverse"] is None
