"""`sluice learn --every` beside a running deployment, from nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from router.estimation.index.manifest import read_manifest
from schemas import Receipt
from schemas.wire import decode
from streams.brokers.kafka import KafkaServer
from tests.support.system import System


@pytest.mark.kafka
def test_a_schedule_teaches_a_running_router(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """A router that began with beliefs decides by what the schedule has learned, each round is told
    in one line, the end is in order, and a replay takes all decisions again."""
    with System(kafka_broker, tmp_path, prefix, size=160, past=300, plenty=100.0) as system:
        shutil.rmtree(tmp_path / "index")
        router = system.start_router("r0")
        system.start_worker("w0")
        system.produce(0, 80)
        system.wait_settled()
        prior = read_manifest(tmp_path / "index").version
        assert "there was no index; wrote one of priors" in router.log.read_text()
        history = ("--history", str(tmp_path / "history.jsonl.gz"))
        log = ("--log", str(tmp_path / "learned.jsonl.gz"))
        at = ("--config", str(system.config))
        learner = system.run("learner", "learn", "--every", "1s", *history, *log, *at)
        system.wait("a first index", lambda: "is taken" in learner.log.read_text())
        learned = read_manifest(tmp_path / "index").version
        assert learned != prior
        system.wait("the router", lambda: f"index {learned}" in router.log.read_text())
        system.wait("another round", lambda: "nothing new" in learner.log.read_text())
        system.produce(80, 160)
        system.wait_settled()
        rounds = learner.log.read_text().count("the value that index")
        system.wait(
            "a round with what came", lambda: learner.log.read_text().count("of the value") > rounds
        )
        for name in ("learner", "r0", "w0"):
            assert system.stop(name) == 0, system.children[name].tail()
        receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
        by_index = {receipt.index for receipt in receipts}
        assert {prior, learned} <= by_index
        system.verify()
