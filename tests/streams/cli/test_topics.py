"""`sluice topics`: the plan, and whether the broker has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer
from tests.support.command import run


class TestTopics:
    def test_list_asks_no_broker(self, config: Path, prefix: str) -> None:
        """The plan is shown with partitions and cleanup."""
        code, stdout, _ = run("topics", "list", "-c", config, broker="127.0.0.1:9")
        assert code == 0
        lines = {line.split()[0]: line.split()[1:] for line in stdout.splitlines()[1:]}
        assert lines[f"{prefix}queries"] == ["2", "delete", "7", "days"]
        assert lines[f"{prefix}routed.org-large"] == ["1", "delete", "7", "days"]
        assert lines[f"{prefix}prices"] == ["1", "compact", "for", "ever"]

    @pytest.mark.kafka
    def test_create_then_check(self, config: Path, kafka_broker: KafkaServer) -> None:
        """Create makes the topics, again makes none; check agrees, until the wish changes."""
        servers = kafka_broker.servers
        code, _, stderr = run("topics", "check", "-c", config, broker=servers)
        assert code == 1
        assert "is missing" in stderr
        code, stdout, _ = run("topics", "create", "-c", config, broker=servers)
        assert code == 0
        assert ", 0 were there already" in stdout
        code, stdout, _ = run("topics", "create", "-c", config, broker=servers)
        assert code == 0
        assert "0 made" in stdout
        assert run("topics", "check", "-c", config, broker=servers)[0] == 0
        config.write_text(config.read_text().replace("partitions = 2", "partitions = 3"))
        code, _, stderr = run("topics", "create", "-c", config, broker=servers)
        assert code == 1
        assert "has 2 partitions where the configuration says 3" in stderr

    def test_check_on_an_embedded_broker_without_topics(self, config: Path) -> None:
        """Topics that are not there are named, one a line."""
        with EmbeddedBroker() as broker:
            code, _, stderr = run("topics", "check", "-c", config, broker=broker.servers)
        assert code == 1
        assert stderr.count("is missing") >= 11
