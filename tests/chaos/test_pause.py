"""A router that stands still for longer than its session, and then goes on: it is fenced off."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from streams.brokers.kafka import KafkaServer
from streams.state.fence import is_claim
from tests.support import invariants
from tests.support.chaos import RATE, controller, go_on, takeover
from tests.support.system import System

PAUSES = int(os.environ.get("SLUICE_PAUSES", "2"))
ROUTERS = ("r0", "r1")


@pytest.mark.kafka
@pytest.mark.parametrize("who", ["router", "controller"])
def test_a_paused_router_is_fenced_off(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str, who: str
) -> None:
    """Stopped under load until the other one has its partitions (and the controller), it goes on:
    it ends by itself and says why, or takes part again; I1 to I5 and I7 hold, and the audit is
    equal."""
    size = round(RATE * 120 * (PAUSES + 1))
    with System(kafka_broker, tmp_path, prefix, size=size, store="rocksdb") as system:
        random = Random(2)
        system.answer(twice=0.02)
        for name in ROUTERS:
            system.start_router(name)
        system.wait_members(2)
        system.produce_meanwhile(rate=RATE)
        system.wait("the first decisions", lambda: len(system.decided()) > RATE)
        for _ in range(PAUSES):
            holder = controller(system, ROUTERS)
            name = holder if who == "controller" and holder else random.choice(ROUTERS)
            claims = _claims(system)
            system.children[name].pause()
            takeover(system, time.time())
            if name == holder:
                system.wait("another controller", lambda: _claims(system) > claims)  # noqa: B023  # at once
            go_on(system, name, len(ROUTERS))
        system.enough()
        system.wait_settled()
        invariants.hold(system)
        invariants.grants_within_limits(system)
        for name in ROUTERS:
            assert system.stop(name) == 0
        system.sluice("audit")
        print(f"{PAUSES} pauses; {system.superseded} routers had to end")


def _claims(system: System) -> int:
    """How often a controller has taken over."""
    return sum(is_claim(r.key) for r in system.read(system.topics.controller_changelog))
