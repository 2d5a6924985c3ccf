"""`sluice health`: whether a process of this machine is in its group."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer

from streams.brokers.kafka import KafkaServer
from tests.support.command import run


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
        assert run("health", "-c", config, broker=kafka_broker.servers)[0] == 0
        reader.close()
        code, _, stderr = run(*health, broker=kafka_broker.servers)
        assert code == 1
        assert "is from this machine (127.0.0.1)" in stderr
