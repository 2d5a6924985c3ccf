"""`sluice health`: whether a process of this machine is in its group."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from prometheus_client import CollectorRegistry

from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer, free_port
from streams.metrics.health import Health
from streams.metrics.server import serve
from tests.support.command import run


@pytest.fixture
def served() -> Iterator[tuple[str, list[str]]]:
    """The address of a process's probes, and what it says is wrong."""
    wrong: list[str] = []
    port = free_port()
    stop = serve(CollectorRegistry(), "127.0.0.1", port, Health(ready=lambda: wrong))
    yield f"127.0.0.1:{port}", wrong
    stop()


class TestProcess:
    def test_it_is_asked_itself(self, served: tuple[str, list[str]]) -> None:
        """Ready or not, and why; no broker and no configuration is needed."""
        address, wrong = served
        assert run("health", "--metrics", address) == (0, "ready\n", "")
        wrong.append("partition 3 is being claimed")
        code, _, stderr = run("health", "--metrics", address)
        assert (code, stderr) == (1, "Error: not ready: partition 3 is being claimed\n")

    def test_one_that_listens_everywhere(self, served: tuple[str, list[str]]) -> None:
        """Is reached on this machine."""
        port = served[0].rpartition(":")[2]
        assert run("health", "--metrics", f"0.0.0.0:{port}")[0] == 0

    def test_none_there(self) -> None:
        """Is said in one line."""
        code, _, stderr = run("health", "--metrics", f"127.0.0.1:{free_port()}")
        assert code == 1
        assert "/readyz does not answer" in stderr

    def test_it_is_cheap(self, config: Path) -> None:
        """It loads neither numpy nor scipy, whomever it asks: that takes longer than the rest."""
        for asked in (["--metrics", "127.0.0.1:1"], ["-c", str(config), "--group", "x"]):
            code = (
                "import sys; from streams.cli import main; from streams.cli import health; "
                "health.TIMEOUT = 0.2\n"
                f"try: main(['health', *{asked!r}])\n"
                "finally: print([m for m in ('numpy', 'scipy', 'faust') if m in sys.modules])"
            )
            ran = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=False
            )
            assert ran.stdout == "[]\n", ran.stderr


def test_an_embedded_broker(config: Path, embedded_broker: EmbeddedBroker) -> None:
    """It knows nothing of groups: the process itself must be asked."""
    code, _, stderr = run("health", "-c", config, broker=embedded_broker.servers)
    assert code == 1
    assert "ask the process itself, with --metrics" in stderr


@pytest.mark.kafka
class TestHealth:
    def test_a_member_of_this_machine(
        self, config: Path, kafka_broker: KafkaServer, prefix: str
    ) -> None:
        """Healthy while a consumer is in its group, and no more when it has left."""
        kafka_broker.create({f"{prefix}queries": 1})
        reader = Consumer({"bootstrap.servers": kafka_broker.servers, "group.id": f"{prefix}group"})
        health = ("health", "-c", config, "--group", f"{prefix}group")
        assert run(*health, broker=kafka_broker.servers)[0] == 1
        reader.subscribe([f"{prefix}queries"])
        while not reader.assignment():
            reader.poll(0.1)
        code, stdout, _ = run(*health, broker=kafka_broker.servers)
        assert (code, stdout) == (0, f"in group {prefix}group, stable\n")
        # A group of somebody else's is none of this configuration's.
        assert run("health", "-c", config, broker=kafka_broker.servers)[0] == 1
        reader.close()
        worker = Consumer(
            {
                "bootstrap.servers": kafka_broker.servers,
                "group.id": f"{prefix}routed.added.pool",
            }
        )
        worker.subscribe([f"{prefix}queries"])
        while not worker.assignment():
            worker.poll(0.1)
        # Of a pool, or of a model that the configuration does not name.
        code, stdout, _ = run("health", "-c", config, broker=kafka_broker.servers)
        assert (code, stdout) == (0, f"in group {prefix}routed.added.pool, stable\n")
        worker.close()
        code, _, stderr = run(*health, broker=kafka_broker.servers)
        assert code == 1
        assert "is from this machine (127.0.0.1)" in stderr
