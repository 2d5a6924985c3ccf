"""`sluice topics delete`, `backup` and `restore`: what they refuse; `tests/e2e/test_backup.py` has
the whole way."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer

from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer
from streams.kafka import clients
from streams.kafka.groups import groups_of
from tests.support.command import run


@pytest.mark.parametrize(
    "command", [["delete", "--yes"], ["backup", "x"], ["restore", "x"]], ids=str
)
def test_an_embedded_broker_keeps_nothing(
    config: Path, embedded_broker: EmbeddedBroker, command: list[str]
) -> None:
    """It is said at once."""
    found = run("topics", *command, "-c", config, broker=embedded_broker.servers)
    assert found[0] == 1
    assert "embedded broker" in found[2]


@pytest.mark.kafka
class TestOnKafka:
    def test_without_topics(self, config: Path, kafka_broker: KafkaServer, tmp_path: Path) -> None:
        """There is nothing to delete, to back up, or to restore from; used folders are left."""
        servers = kafka_broker.servers
        code, stdout, _ = run("topics", "delete", "-c", config, broker=servers)
        assert (code, stdout) == (0, "there are no topics of this deployment\n")
        backup = ["topics", "backup", "-c", config]
        code, _, stderr = run(*backup, tmp_path / "new", broker=servers)
        assert (code, "no topics of this deployment" in stderr) == (1, True)
        (tmp_path / "used").mkdir()
        (tmp_path / "used" / "file").touch()
        code, _, stderr = run(*backup, tmp_path / "used", broker=servers)
        assert (code, "is not empty" in stderr) == (1, True)
        restore = ["topics", "restore", "-c", config]
        code, _, stderr = run(*restore, tmp_path / "used", broker=servers)
        assert (code, "is no backup" in stderr) == (1, True)

    def test_another_prefix(
        self, config: Path, kafka_broker: KafkaServer, tmp_path: Path, prefix: str
    ) -> None:
        """A backup of empty topics is restored onto empty ones, and under their own names only."""
        servers = kafka_broker.servers
        assert run("topics", "create", "-c", config, broker=servers)[0] == 0
        folder = tmp_path / "backup"
        assert run("topics", "backup", "-c", config, folder, broker=servers)[0] == 0
        code, stdout, stderr = run("topics", "restore", "-c", config, folder, broker=servers)
        assert (code, "0 records" in stdout) == (0, True), stderr
        assert run("topics", "check", "-c", config, broker=servers)[0] == 0
        config.write_text(config.read_text().replace(prefix, "another."))
        code, _, stderr = run("topics", "restore", "-c", config, folder, broker=servers)
        assert (code, f"with the prefix {prefix!r}" in stderr) == (1, True)

    def test_members_are_spared_unless_forced(
        self, config: Path, kafka_broker: KafkaServer, prefix: str
    ) -> None:
        """A worker that reads a model's topic is named; --force deletes it all the same."""
        servers, topic = kafka_broker.servers, f"{prefix}routed.small"
        assert run("topics", "create", "-c", config, broker=servers)[0] == 0
        worker = Consumer({"bootstrap.servers": servers, "group.id": topic})
        worker.subscribe([topic])
        admin = clients.admin({"bootstrap.servers": servers})
        while not any(group.members for group in groups_of(admin, [topic])):
            worker.poll(0.1)
        delete = ["topics", "delete", "--yes", "-c", config]
        code, _, stderr = run(*delete, broker=servers)
        assert (code, f"{topic} (1)" in stderr) == (1, True)
        code, stdout, stderr = run(*delete, "--force", broker=servers)
        worker.close()
        assert (code, "topics deleted" in stdout) == (0, True), stderr
