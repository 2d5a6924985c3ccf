"""Every live policy through the same whole system: a kill, the audit, the decisions replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from schemas import Prices, Receipt
from schemas.wire import decode
from streams.brokers.kafka import KafkaServer
from streams.cli import main
from tests.support.system import System


def states(system: System) -> list[dict[str, Any]]:
    """What the policy has published, in order."""
    return [decode(Prices, one.value).state for one in system.read(system.topics.prices)]


@pytest.mark.kafka
@pytest.mark.parametrize("policy", ["primal-dual", "quality-floor", "eagle"])
def test_a_policy_lives_on_a_log(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str, policy: str
) -> None:
    """Over a kill, with states of the policy that are published while it decides: every query is
    settled, the ledger is what the log adds up to, and every decision comes out byte for byte."""
    settings: dict[str, dict[str, object]] = {
        "policy": {"name": policy, "resolve_every": 20, "resolve_seconds": 0.2, "floor": 0.6},
        "deferral": {"retry_seconds": 1},
    }
    with System(
        kafka_broker, tmp_path, prefix, size=120, store="rocksdb", plenty=3.0, settings=settings
    ) as system:
        system.start_router("r0")
        system.answer()
        system.produce(0, 60, rate=100)
        system.wait("some decisions", lambda: len(system.decided()) >= 30)
        system.kill("r0")
        system.start_router("r0")
        system.wait("a published state", lambda: bool(states(system)))
        system.produce(60, 120, rate=100)
        system.wait_settled()
        assert system.stop("r0") == 0

        receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
        assert {receipt.policy for receipt in receipts} == {policy}
        assert len({receipt.price_version for receipt in receipts}) > 1, "one state decided all"
        environment = {"SLUICE_BROKER": system.broker.servers}
        out = tmp_path / "verified.json"
        for command in ["replay", "--verify", "--json", str(out)], ["audit"]:
            arguments = [*command, "--config", str(system.config)]
            found = CliRunner().invoke(main, arguments, env=environment)
            assert found.exit_code == 0, found.output
        parts = orjson.loads(out.read_bytes())["partitions"]
        assert sum(part["adopted"] for part in parts) == 0
        decisions = {receipt.decision_id for receipt in receipts}
        assert sum(part["decisions"] for part in parts) == len(decisions)
        if policy == "eagle":
            ratings = [state["ratings"] for state in states(system)]
            assert ratings[0] != ratings[-1], "answers taught nothing"
