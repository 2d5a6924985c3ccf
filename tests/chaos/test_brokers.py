"""kill -9 of brokers, one after the other, while load runs: nothing is lost or overspent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from streams.brokers import kafka
from tests.support import invariants
from tests.support.chaos import LATENCY, RATE, stop_all
from tests.support.kafka_cluster import KafkaCluster
from tests.support.system import System

BROKERS = int(os.environ.get("SLUICE_BROKERS", "0"))
"""`make chaos BROKERS=3` sets it; three Kafkas and a load are too much for every run of CI."""
KILLS = int(os.environ.get("SLUICE_KILLS", "1"))
"""Of each broker; `make chaos BROKERS=3` takes ten, and its report is in docs/reliability.md."""


@pytest.mark.kafka
@pytest.mark.skipif(BROKERS == 0, reason="runs by: make chaos BROKERS=3")
def test_each_broker_dies_under_load(
    can_run_kafka: None, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three brokers, three copies of each partition, two of which acknowledge: each broker is
    killed in turn, and comes back when queries have been decided and answered without it. Each
    query ends once, limits hold at every record of the changelog, and the audit is equal."""
    monkeypatch.setattr(kafka, "START_TIMEOUT", 600.0)  # three of them under load, on one machine
    size = round(RATE * 240 * (BROKERS * KILLS + 1))
    with (
        KafkaCluster(tmp_path / "kafka", BROKERS) as cluster,
        System(cluster, tmp_path, prefix, size=size, store="rocksdb") as system,
    ):
        for name in ("r0", "r1"):
            system.start_router(name)
        system.start_worker("w0", latency=LATENCY)
        system.wait_members(2)
        system.produce_meanwhile(rate=RATE)
        progress(system)
        for _ in range(KILLS):
            for number, node in enumerate(cluster.nodes):
                system.wait("all copies to keep up", lambda: not lagging(cluster))
                node.kill()
                progress(system)
                node.start()
                print(f"broker {number} was killed and is back; {len(system.decided())} decisions")
        progress(system)
        system.enough()
        system.wait_settled()
        invariants.hold(system)
        invariants.grants_within_limits(system)
        stop_all(system)
        system.sluice("audit")
        print(f"{KILLS} kills of each of {BROKERS} brokers; {len(system.decided())} queries")


def lagging(cluster: KafkaCluster) -> bool:
    """Whether a copy is behind, or nobody tells."""
    try:
        return bool(cluster.lagging())
    except KafkaException:
        return True


def progress(system: System) -> None:
    """Wait until a few seconds' queries more have been decided, and some results have come."""
    count, results = len(system.decided()), len(system.read(system.topics.results))
    system.wait("decisions", lambda: len(system.decided()) > count + 4 * RATE)
    system.wait("results", lambda: len(system.read(system.topics.results)) > results + 10)
