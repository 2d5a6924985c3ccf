"""Everything at once: routers, the controller, workers and the broker die, and routers stand still,
while load runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.brokers.kafka import KafkaServer
from tests.support import invariants
from tests.support.chaos import RATE, Chaos, stop_all
from tests.support.overlapping import TENANTS, overlapping, two_pools
from tests.support.patience import PATIENCE
from tests.support.system import MODELS, System

KILLS = int(os.environ.get("SLUICE_KILLS", "5"))
"""`make chaos` takes a hundred; its report is in docs/reliability.md."""
PAUSES = max(1, KILLS // 5)
RESTARTS = max(1, round(3 * KILLS / 100))
GROWN = 9
"""Partitions that there are from the middle on; six before."""
SEED = int(os.environ.get("SLUICE_SEED", "1"))
LIMITS = os.environ.get("SLUICE_LIMITS", "") != ""
"""Whether `make chaos` adds limits that overlap, and pools."""
TOKENS = 150_000
"""Tokens that are reserved for an answer of the cheapest model, about."""
CAPACITY = 3
"""Queries in the shorter pool of a model from which on others go to the longer one."""


@pytest.mark.kafka
def test_whatever_is_killed_or_paused(can_run_kafka: None, tmp_path: Path, prefix: str) -> None:
    """3 routers, 6 partitions that become 9, 2 workers: each query ends once, no id goes to two
    models, no share is overspent at any record of the changelog, nothing stays reserved, and the
    audit is equal."""
    size = round(RATE * (40 * (KILLS + RESTARTS + 4) + 120 * PAUSES))
    with (
        KafkaServer(tmp_path / "kafka") as broker,
        hardened(
            System(broker, tmp_path, prefix, size=size, partitions=6, store="rocksdb")
        ) as system,
    ):
        chaos = Chaos(system, broker, SEED)
        chaos.start()
        system.produce_meanwhile(rate=RATE)
        system.wait("the first decisions", lambda: len(system.decided()) > RATE)
        for number in range(KILLS):
            chaos.kill_one()
            if number == KILLS // 2:
                chaos.grow(GROWN)
            if (number + 1) * PAUSES // KILLS > chaos.pauses.total():
                chaos.pause_one()
            if number % 10 == 4:
                chaos.join_and_leave()
            if (number + 1) * RESTARTS // KILLS > chaos.restarts:
                chaos.restart_broker()
        chaos.settle()
        invariants.hold(system)
        invariants.grants_within_limits(system)
        pools = [name for name in system.served if name not in system.models]
        routed = {name: len(system.read(system.topics.routed(name))) for name in pools}
        assert all(routed.values()), routed
        stop_all(system)
        system.sluice("audit")
        print(chaos.report())


def hardened(system: System) -> System:
    """Return a system whose processes have time to end on a busy machine, and which is under limits
    that overlap, where they are asked for: money for all, for a provider and for each tenant, and
    no more calls and tokens a minute than come on average, so that what has piled up behind a kill
    waits for the next one. One model is served by two pools, of which one spills."""
    system.settings = {"process": {"stop_seconds": PATIENCE}}
    if LIMITS:
        calls = round(RATE * 60)
        system.settings |= overlapping(sum(system.limits), calls, calls * TOKENS)
        system.settings |= two_pools(MODELS[0], CAPACITY)
        system.tenants = TENANTS
    return system
