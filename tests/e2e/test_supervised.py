"""Several routers under one command: one is killed, and nothing is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from streams.brokers.kafka import KafkaServer, free_port
from tests.support import invariants
from tests.support.child import Child
from tests.support.scrape import samples
from tests.support.system import System


@pytest.mark.kafka
def test_a_router_of_two_is_killed(kafka_broker: KafkaServer, tmp_path: Path, prefix: str) -> None:
    """It is started again, all invariants hold, one port shows the sums, and the stop is clean."""
    with System(kafka_broker, tmp_path, prefix, size=300, store="rocksdb") as system:
        port = free_port()
        group = system.run(
            "group", "route", "--config", str(system.config), "--name", "r", "--processes", "2",
            "--metrics", f"127.0.0.1:{port}",
        )  # fmt: skip
        system.answer()
        system.wait_members(2)
        system.produce_meanwhile(0, 300, rate=100)
        system.wait("the first decisions", lambda: len(system.decided()) >= 50)
        victim = routers(group)[0]
        os.kill(victim.pid, signal.SIGKILL)
        system.wait("a restart", lambda: victim not in routers(group) and len(routers(group)) == 2)
        system.wait_settled()
        invariants.hold(system)
        found = {sample.name: sample.value for sample in samples(f"127.0.0.1:{port}")}
        assert found["sluice_route_restarts_total"] == 1
        last = routers(group)
        assert system.stop("group") == 0
        assert not any(process.is_running() for process in last)


def routers(group: Child) -> list[psutil.Process]:
    """The router processes of a group."""
    found: list[psutil.Process] = psutil.Process(group.process.pid).children()
    return found
