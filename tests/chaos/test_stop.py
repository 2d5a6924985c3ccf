"""Processes that are told to stop while their broker is away end in time, and lose nothing."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random

import httpx
import pytest

from streams.brokers.kafka import KafkaServer
from streams.kafka.fatal import EXIT_CODE
from tests.support import invariants
from tests.support.chaos import RATE
from tests.support.patience import PATIENCE
from tests.support.serving import Serving
from tests.support.system import System

STOP_SECONDS = 4
SLACK = 8.0
"""Seconds beside `stop_seconds`: the kernel's own limit, and a machine with other work. Without the
limit a process takes minutes, or never ends."""
ROUNDS = 2


@pytest.mark.kafka
def test_stops_while_the_broker_is_away(can_run_kafka: None, tmp_path: Path, prefix: str) -> None:
    """A router, the one that holds the controller, a worker, and both before they have started, at
    random moments of a broker's absence: each ends within its time, and everything that was left
    undone comes again."""
    random = Random(1)
    settings = {"process": {"stop_seconds": STOP_SECONDS}}
    size = round(RATE * 200 * ROUNDS)
    with (
        KafkaServer(tmp_path / "kafka") as broker,
        System(broker, tmp_path, prefix, size=size, store="rocksdb", settings=settings) as system,
    ):
        system.start_router("r0")
        system.start_worker("w0", latency=0.2)
        system.wait_members(1)
        system.start_router("r1")
        system.wait_members(2)
        system.produce_meanwhile(rate=RATE)
        for _ in range(ROUNDS):
            before = len(system.decided())
            system.wait("decisions", lambda: len(system.decided()) > before + RATE)  # noqa: B023  # at once
            broker.kill()
            system.start_router("r2")
            system.start_worker("w1", latency=0.2)
            for name in random.sample(["r0", "r1", "r2", "w0", "w1"], 5):
                time.sleep(random.uniform(0.0, 2.0))
                _stop(system, name)
            broker.start()
            for name in ("r0", "r1"):
                system.start_router(name)
            system.start_worker("w0", latency=0.2)
            system.wait_members(2)
        system.enough()
        system.wait_settled()
        invariants.hold(system)


@pytest.mark.kafka
@pytest.mark.parametrize("kind", ["router", "worker"])
def test_a_second_signal_ends_it_at_once(
    can_run_kafka: None, tmp_path: Path, prefix: str, kind: str
) -> None:
    """Whatever the first one waits for."""
    with (
        KafkaServer(tmp_path / "kafka") as broker,
        System(broker, tmp_path, prefix, size=40, settings={"process": {"stop_seconds": 600}}) as s,
    ):
        s.start_router("r")
        s.start_worker("w", latency=300.0)
        s.wait_members(1)
        s.produce()
        s.wait_decided()
        broker.kill()
        child = s.children[kind[0]]
        child.process.send_signal(signal.SIGTERM)
        child.stopping = True
        time.sleep(1.0)
        assert child.process.poll() is None, "nothing was waited for: the test has lost its point"
        child.process.send_signal(signal.SIGTERM)
        assert child.process.wait(SLACK) == 128 + signal.SIGTERM


@pytest.mark.kafka
def test_a_front_ends_in_time(can_run_kafka: None, tmp_path: Path, prefix: str) -> None:
    """While a request waits for its answer and the broker is away; the client is told."""
    settings = {"process": {"stop_seconds": STOP_SECONDS}}
    with (
        KafkaServer(tmp_path / "kafka") as broker,
        Serving(broker, tmp_path, prefix, size=10, settings=settings) as s,
        ThreadPoolExecutor(1) as pool,
    ):
        s.start_front("serve")
        s.wait_fronts("serve")
        body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
        url = f"{s.url()}/v1/chat/completions"
        asked = pool.submit(httpx.post, url, json=body, timeout=PATIENCE)
        s.wait("the query", lambda: bool(s.read(s.topics.queries)))
        broker.kill()
        _stop(s, "serve")
        with suppress(httpx.TransportError):
            assert asked.result().status_code >= 500


def _stop(system: System, name: str) -> None:
    child, began = system.children[name], time.monotonic()
    code = child.end(signal.SIGTERM)
    took = time.monotonic() - began
    ends = [0, 1, EXIT_CODE, 128 + signal.SIGTERM]
    if "Error: no broker at " in child.tail():
        # It was ending by itself, its handlers already gone, when the signal came.
        ends.append(-signal.SIGTERM)
    assert code in ends, f"{name}: {code}\n{child.tail()}"
    assert took < STOP_SECONDS + SLACK, f"{name} took {took:.0f} s\n{child.tail()}"
    print(f"{name}: {code} after {took:.1f} s")
