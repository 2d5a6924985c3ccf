"""First contact with an ordinary Kafka that has just been started."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from router.evaluation.datasets import write_jsonl
from router.evaluation.workload import synthesize
from streams.brokers.kafka import KafkaServer
from streams.cli import main
from tests.e2e.test_demo import run, topics

DEFAULTS = {
    "broker.heartbeat.interval.ms": "2000",
    "group.initial.rebalance.delay.ms": "3000",
}
"""Of Kafka, where `KafkaServer` has others: `__consumer_offsets` gets 50 partitions in any case."""


@pytest.mark.kafka
@pytest.mark.parametrize("auto_create", ["false", "true"])
def test_the_first_run_on_a_fresh_broker(
    can_run_kafka: None, tmp_path: Path, auto_create: str
) -> None:
    """No group was ever made on it: the demo waits for the first coordinator, and leaves nothing
    behind, also where a broker makes topics that somebody asks for."""
    data = tmp_path / "data.jsonl.gz"
    write_jsonl(synthesize(120, seed=1), data)
    settings = {**DEFAULTS, "auto.create.topics.enable": auto_create}
    with KafkaServer(tmp_path / "kafka", settings=settings) as broker:
        ended = run("--dataset", data, "--broker", broker.servers, "--rate", 100)
        assert ended.returncode == 0, ended.stderr
        assert topics(broker) <= {"__consumer_offsets"}


@pytest.mark.kafka
def test_health_is_asked_first(can_run_kafka: None, tmp_path: Path) -> None:
    """Groups are listed and described before the first one is there: nobody is in one."""
    config = Path("examples/sluice.toml").resolve()
    with KafkaServer(tmp_path / "kafka", settings=DEFAULTS) as broker:
        asked = ["health", "--config", str(config), "--group", "nobody"]
        answer = CliRunner().invoke(main, asked, env={"SLUICE_BROKER": broker.servers})
    assert answer.exit_code == 1
    assert "no member of group nobody is from this machine" in answer.output
