"""A router learns from its own log: a new index is taken over while queries go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.estimation.index.manifest import read_manifest
from router.evaluation.datasets import read_jsonl
from schemas import Receipt
from schemas.wire import decode
from streams.brokers.kafka import KafkaServer
from tests.e2e.test_replay import figures
from tests.support.system import System


def receipts(system: System) -> list[Receipt]:
    return [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]


@pytest.mark.kafka
def test_learning_from_the_log(kafka_broker: KafkaServer, tmp_path: Path, prefix: str) -> None:
    """`sluice history` and `sluice index build` make an index from what the log knows; both
    routers take it over without a restart, as their receipts say; a replay takes the decisions
    on either index again, and without the old one says what it lacks (I6)."""
    # Nothing waits for money: a pass would decide more between two readings.
    with System(kafka_broker, tmp_path, prefix, size=300, plenty=100.0) as system:
        routers = [system.start_router(name) for name in ("r0", "r1")]
        system.wait_members(2)
        system.start_worker("answers")
        system.produce(0, 100)
        system.wait_settled()
        first = read_manifest(tmp_path / "index").version
        assert {receipt.index for receipt in receipts(system)} == {first}

        learned = tmp_path / "learned.jsonl.gz"
        found = system.sluice("history", str(learned))
        told = read_jsonl(learned)
        assert f"{len(told)} answered queries, {len(told)} of them judged" in found
        sent = {receipt.id: receipt.model for receipt in receipts(system) if receipt.model}
        assert set(told.ids) == set(sent)
        recorded = dict(zip(system.queries.ids, system.queries.prompts, strict=True))
        assert list(told.prompts) == [recorded[id] for id in told.ids]

        base = tmp_path / "history.jsonl.gz"
        both = ("--history", str(base), "--history", str(learned))
        system.sluice("index", "build", *both)
        manifest = read_manifest(tmp_path / "index")
        assert manifest.count == system.past + len(told)

        def taken() -> bool:
            return all(f"index {manifest.version}" in router.log.read_text() for router in routers)

        system.wait("both routers to take it over", taken)

        system.produce(100, 200)
        system.wait_settled()
        later = [r for r in receipts(system) if r.source.topic == system.topics.queries][100:]
        assert {receipt.index for receipt in later} == {manifest.version}
        for name in ("r0", "r1"):
            assert system.stop(name) == 0

        out = tmp_path / "verified.json"
        system.sluice("replay", "--verify", "--json", str(out))
        decisions = {receipt.decision_id for receipt in receipts(system)}
        assert sum(part["decisions"] for part in figures(out)["partitions"]) == len(decisions)

        system.sluice("index", "build", *both, "--keep", "0")
        found = system.sluice("replay", "--verify", code=1)
        assert "their index is not kept" in found.replace("\n", " ")
