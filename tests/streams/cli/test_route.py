"""`sluice route`: what it needs before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from streams.brokers.embedded import EmbeddedBroker
from tests.support.command import run
from tests.support.system import System


def test_a_router_needs_its_topics(config: Path) -> None:
    """It says what is missing and how to make it, before it loads anything."""
    with EmbeddedBroker() as broker:
        code, _, stderr = run("route", "-c", config, broker=broker.servers)
    assert code == 1
    assert stderr.count("is missing") >= 11
    assert "sluice topics create" in stderr


def test_only_warnings_are_logged_where_only_they_are_wanted(
    embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str
) -> None:
    """No banner, no progress: a router without troubles writes nothing."""
    with System(embedded_broker, tmp_path, prefix, size=5, past=50, partitions=1) as system:
        options = ("--config", str(system.config), "--log-level", "warning")
        router = system.run("r0", "route", *options)
        system.produce()
        system.wait_decided()
        assert system.stop("r0") == 0
        assert router.log.read_text() == ""


def test_every_line_of_a_router_and_a_worker_is_json(
    embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str
) -> None:
    """No banner, no escapes; at DEBUG a line for each decision, with its ids."""
    with System(embedded_broker, tmp_path, prefix, size=5, past=50, partitions=1) as system:
        options = ("--config", str(system.config), "--log-format", "json", "--log-level")
        router = system.run("r0", "route", *options, "debug")
        worker = system.run("w0", "work", *system.models, *options, "info", "--echo")
        system.produce()
        system.wait_settled()
        assert (system.stop("r0"), system.stop("w0")) == (0, 0)
        lines = [orjson.loads(line) for line in router.log.read_bytes().splitlines()]
        assert [orjson.loads(line) for line in worker.log.read_bytes().splitlines()]
    decisions = {line["query_id"]: line for line in lines if "query_id" in line}
    assert decisions.keys() == system.sent.keys()
    assert all(line["decision_id"] and line["trace_id"] for line in decisions.values())


def test_without_an_index(embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str) -> None:
    """It starts on priors, says so, and decides."""
    with System(embedded_broker, tmp_path, prefix, size=20, past=50, partitions=1) as system:
        shutil.rmtree(tmp_path / "index")
        router = system.start_router("r0")
        system.produce()
        system.wait_decided()
        assert system.stop("r0") == 0
        assert "priors" in router.log.read_text()
