"""Everything at once: routers, the controller, workers and the broker die, and routers stand still,
while load runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.brokers.kafka import KafkaServer
from streams.cli import main
from tests.support import invariants
from tests.support.chaos import RATE, Chaos, stop_all
from tests.support.system import System

KILLS = int(os.environ.get("SLUICE_KILLS", "5"))
"""`make chaos` takes a hundred; its report is in docs/reliability.md."""
PAUSES = max(1, KILLS // 5)
RESTARTS = max(1, round(3 * KILLS / 100))
SEED = int(os.environ.get("SLUICE_SEED", "1"))


@pytest.mark.kafka
def test_whatever_is_killed_or_paused(can_run_kafka: None, tmp_path: Path, prefix: str) -> None:
    """3 routers, 6 partitions, 2 workers: each query ends once, no id goes to two models, no share
    is overspent at any record of the changelog, nothing stays reserved, and the audit is equal."""
    size = round(RATE * (40 * (KILLS + RESTARTS + 4) + 120 * PAUSES))
    with (
        KafkaServer(tmp_path / "kafka") as broker,
        System(broker, tmp_path, prefix, size=size, partitions=6, store="rocksdb") as system,
    ):
        chaos = Chaos(system, broker, SEED)
        chaos.start()
        system.produce_meanwhile(rate=RATE)
        system.wait("the first decisions", lambda: len(system.decided()) > RATE)
        for number in range(KILLS):
            chaos.kill_one()
            if (number + 1) * PAUSES // KILLS > chaos.pauses.total():
                chaos.pause_one()
            if number % 10 == 4:
                chaos.join_and_leave()
            if (number + 1) * RESTARTS // KILLS > chaos.restarts:
                chaos.restart_broker()
        chaos.settle()
        invariants.hold(system)
        invariants.grants_within_limits(system)
        stop_all(system)
        audit = CliRunner().invoke(
            main, ["audit", "--config", str(system.config)], env={"SLUICE_BROKER": broker.servers}
        )
        assert audit.exit_code == 0, audit.output
        print(chaos.report())
