"""An operator's orders under load: every router follows them, and a replay knows them too."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from router.policies.base import REASONS
from schemas import Receipt
from schemas.wire import decode
from streams.brokers.kafka import KafkaServer
from tests.e2e.test_replay import figures
from tests.support import invariants
from tests.support.system import System

NEWCOMER = "llama-2-70b"
LIMIT = 2_000_000_000
"""Nano-units. A tenth of it may be used to try the newcomer."""


class Operator:
    """Gives orders, and looks how long it takes until each partition's decisions know of them."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.version = 0

    def order(self, *arguments: str) -> int:
        """Give an order, and wait until it is known on all partitions. Returns its version."""
        system = self._system
        system.sluice(*arguments)
        ordered = system.read(system.topics.control)[-1]
        self.version = ordered.offset + 1
        words = " ".join(arguments[:3])
        system.wait(f"all to follow: {words}", lambda: len(self._first()) == system.partitions)
        took = max(self._first().values()) - ordered.timestamp
        print(f"{words}: decisions on all partitions know of it after {took:.2f} s")
        return self.version

    def _first(self) -> dict[int, float]:
        """By partition, when it first decided under the last order."""
        first: dict[int, float] = {}
        for receipt in receipts(self._system):
            if receipt.control_version >= self.version:
                number = receipt.source.partition
                first[number] = min(first.get(number, receipt.decided_at), receipt.decided_at)
        return first


def receipts(system: System) -> list[Receipt]:
    return [decode(Receipt, record.value) for record in system.read(system.topics.receipts)]


def sent(system: System, model: str, since: int, until: int | None = None) -> list[Receipt]:
    """Queries that went to a model under orders from version `since` to before `until`."""
    return [
        receipt
        for receipt in receipts(system)
        if receipt.model == model
        and since <= receipt.control_version
        and (until is None or receipt.control_version < until)
    ]


def shares(system: System, model: str) -> int:
    """What the partitions own of a model's limit beyond what is spent."""
    accounts = [state.accounts[model] for state in system.states().values()]
    return sum(account.share - account.spent for account in accounts)


@pytest.mark.kafka
def test_orders(kafka_broker: KafkaServer, tmp_path: Path, prefix: str) -> None:
    """Pause, resume, a limit below what is spent, a model added and removed, with two routers and
    one that is killed and comes again: each order is followed, money and log stay exact, and every
    decision taken again under the orders that its receipt names has the same bytes (I6, I7)."""
    settings: dict[str, dict[str, object]] = {
        "policy": {"explore": 0.05, "resolve_every": 50, "resolve_seconds": 0.2},
        "deferral": {"retry_seconds": 1},
        "newcomers": {"budget": 0.1, "probability": 0.3},
    }
    with System(
        kafka_broker, tmp_path, prefix, size=6000, store="rocksdb", settings=settings, plenty=2.0
    ) as system:
        system.start_router("r0")
        system.start_router("r1")
        system.answer(0.1)
        system.wait_members(2)
        operator = Operator(system)
        cheap, _, dear = system.models
        system.produce_meanwhile(rate=30)
        system.wait("both models to be used", lambda: all(_spent(system, m) for m in (cheap, dear)))

        paused = operator.order("model", "pause", cheap)
        resumed = operator.order("model", "resume", cheap)
        assert not sent(system, cheap, paused, resumed), "a paused model was used"
        system.wait("the model to be used again", lambda: bool(sent(system, cheap, resumed)))

        operator.order("budget", "set", dear, "0.000000001")
        system.wait("its shares to be what is spent", lambda: shares(system, dear) == 0)
        stopped = operator.order("model", "resume", cheap)
        assert not sent(system, dear, stopped), "a model was used beyond its limit"

        terms = ("--input-price", "0", "--output-price", "0.001", "--limit", f"{LIMIT / 1e9:.9f}")
        answer_length = ("--max-output-tokens", "650000", "--context", "1000000000")
        added = operator.order("model", "add", NEWCOMER, *terms, *answer_length)
        system.joined(NEWCOMER, LIMIT)
        system.answer(0.1, NEWCOMER)
        system.wait("the newcomer to be tried", lambda: len(sent(system, NEWCOMER, added)) >= 5)
        for again in (NEWCOMER, cheap):
            found = system.sluice("model", "add", again, *terms, code=1)
            assert "already" in found
        system.kill("r0")
        system.wait_members(1)
        system.start_router("r0")
        system.wait_members(2)
        back = time.time()
        system.wait("all partitions to go on", lambda: len(_deciding(system, back)) == 3)
        operator.order("model", "pause", NEWCOMER)
        reopened = operator.order("model", "resume", NEWCOMER)
        system.wait("the newcomer again", lambda: bool(sent(system, NEWCOMER, reopened)))
        removed = operator.order("model", "remove", NEWCOMER)
        system.wait("more to be decided", lambda: _decided(system, removed) >= 100)
        for model in system.models[:-1]:  # or a look at what waits may send one more at the end
            operator.order("model", "pause", model)
        system.enough()
        system.wait_settled()
        assert not sent(system, NEWCOMER, removed), "a removed model was used"
        assert not sent(system, dear, stopped)
        invariants.hold(system)
        for name in ("r0", "r1"):
            assert system.stop(name) == 0

        assert 0 < _spent(system, NEWCOMER) <= LIMIT / 10
        tried = sent(system, NEWCOMER, 0)
        assert {receipt.reason for receipt in tried} == {"explore"} <= REASONS.keys()
        assert all(0 < receipt.propensity <= 0.3 for receipt in tried)

        out = tmp_path / "verified.json"
        system.sluice("replay", "--verify", "--json", str(out))
        verified = figures(out)
        assert all(part["adopted"] == 0 for part in verified["partitions"])
        decisions = {receipt.decision_id for receipt in receipts(system)}
        assert sum(part["decisions"] for part in verified["partitions"]) == len(decisions)
        known = {receipt.control_version for receipt in receipts(system)}
        assert known == set(range(operator.version + 1))
        system.sluice("audit", "--json", str(out))
        assert figures(out)["equal"]
        assert NEWCOMER in figures(out)["accounts"]


def _deciding(system: System, since: float) -> set[int]:
    return {one.source.partition for one in receipts(system) if one.decided_at > since}


def _decided(system: System, since: int) -> int:
    return sum(receipt.control_version >= since for receipt in receipts(system))


def _spent(system: System, model: str) -> int:
    accounts = [state.accounts for state in system.states().values()]
    return sum(one[model].spent for one in accounts if model in one)
