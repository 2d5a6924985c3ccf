"""kill -9 of router processes under load: nothing is lost, sent twice or overspent."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from streams.brokers.kafka import KafkaServer
from tests.support import invariants
from tests.support.chaos import RATE, takeover
from tests.support.system import System

KILLS = int(os.environ.get("SLUICE_KILLS", "3"))
"""`make chaos` and the report in docs/reliability.md take ten."""


@pytest.mark.kafka
def test_a_killed_router_is_replaced(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """Another process takes over after each kill; I1 to I5 and I7 hold at the end, whether the dead
    one comes back at once or later. How long it took is printed: a loaded machine is no fault."""
    size = round(RATE * 120 * (KILLS + 1))
    with System(kafka_broker, tmp_path, prefix, size=size, store="rocksdb") as system:
        random = Random(1)
        system.answer(twice=0.02)
        for name in ("r0", "r1"):
            system.start_router(name)
        system.wait_members(2)
        system.produce_meanwhile(rate=RATE)
        system.wait("the first decisions", lambda: len(system.decided()) > RATE)
        times = []
        for number in range(KILLS):
            name = random.choice(("r0", "r1"))
            killed_at = time.time()
            system.kill(name)
            if number % 2:
                system.start_router(name)
            times.append(takeover(system, killed_at))
            if not number % 2:
                system.start_router(name)
            system.wait_members(2)
        system.enough()
        system.wait_settled()
        invariants.hold(system)
        print(f"takeover after {KILLS} kills, seconds: {[round(each, 1) for each in times]}")
