"""`sluice broker`: brokers for one machine, in the foreground and detached."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from streams.brokers import kafka
from streams.brokers.kafka import KafkaServer
from tests.support.command import run, started
from tests.support.patience import PATIENCE


class TestBroker:
    @pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
    def test_embedded_runs_until_told(self, config: Path, prefix: str, end: int) -> None:
        """It prints its address, has the configured topics, and ends well on a signal."""
        with started("broker", "embedded", "-c", config) as (process, line):
            name, _, servers = line.partition("=")
            assert name == "SLUICE_BROKER"
            assert run("topics", "check", "-c", config, broker=servers)[0] == 0
            process.send_signal(end)
            assert process.wait(PATIENCE) == 0

    @pytest.mark.kafka
    def test_kafka_detached_and_stopped(self, kafka_broker: KafkaServer, tmp_path: Path) -> None:
        """A detached Kafka outlives its command, and the stop command ends it."""
        code, stdout, stderr = run(
            "broker", "kafka", "--port", 0, "--heap", "256m", "--data", tmp_path, "--detach"
        )
        assert code == 0, stderr
        servers = stdout.strip().removeprefix("SLUICE_BROKER=")
        assert AdminClient({"bootstrap.servers": servers}).list_topics(timeout=10)
        code, _, stderr = run("broker", "kafka", "--data", tmp_path, "--port", 0)
        assert code == 1
        assert "already runs" in stderr
        assert run("broker", "stop", "--data", tmp_path) == (0, "stopped\n", "")
        assert "no Kafka is running" in run("broker", "stop", "--data", tmp_path)[1]

    @pytest.mark.kafka
    def test_kafka_in_the_foreground(self, kafka_broker: KafkaServer, tmp_path: Path) -> None:
        """Ctrl-C stops Kafka in order; a Kafka that dies ends the command with its log."""
        command = ("broker", "kafka", "--port", 0, "--heap", "256m", "--data", tmp_path)
        with started(*command) as (process, line):
            assert line.startswith("SLUICE_BROKER=127.0.0.1:")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        assert kafka.running(tmp_path) is None
        with started(*command) as (process, line):
            pid = kafka.running(tmp_path)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            _, stderr = process.communicate(timeout=PATIENCE)
            assert process.returncode == 1
            assert "Error: Kafka ended with exit code -9" in stderr
