"""`sluice work`: what it is told, what it says, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from schemas import Routed
from schemas.control import ModelControl, ModelServer, control_key
from schemas.fields import Source
from schemas.wire import encode
from streams.brokers import Broker
from streams.cli import main
from streams.kafka.topics import Topics
from streams.worker import consumer
from tests.support.completion_server import Server
from tests.support.patience import PATIENCE
from tests.support.records import Records

CONFIG = """
[topics]
prefix = "{prefix}"
[models.small]
input_price = "0.1"
output_price = "0.2"
[models."org/large"]
input_price = "1"
output_price = "2"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "A_KEY_OF_TESTS"
[budget]
total = "1"
[policy]
expected_queries = 100
"""
ROW = {
    "id": "a",
    "scores": {"small": 1, "org/large": 0.5},
    "cost_usd": {"small": 0, "org/large": 0},
}


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Path:
    file = tmp_path / "sluice.toml"
    file.write_text(CONFIG.format(prefix=prefix))
    return file


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps(ROW))
    return file


def run(*arguments: object, **environment: str | None) -> tuple[int, str]:
    """Exit code and stderr of `sluice work`."""
    cleared: dict[str, str | None] = {"SLUICE_BROKER": None, "A_KEY_OF_TESTS": None}
    asked = ["work", *map(str, arguments)]
    result = CliRunner().invoke(main, asked, env={**cleared, **environment})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["small"], 1, "models.small.base_url is missing"),
        (["org/large"], 1, "A_KEY_OF_TESTS is empty: models.org/large.api_key_env"),
        (["small", "--latency-median", "1"], 2, "it needs --dataset"),
        (["small", "--echo", "--dataset", "nowhere.jsonl"], 2, "choose one"),
        (["small", "--dataset", "nowhere.jsonl"], 1, "nowhere.jsonl: cannot be read"),
        ([], 2, "Missing argument 'MODEL [MODEL]...'"),
    ],
)
def test_what_cannot_be_is_said(config: Path, arguments: list[str], code: int, words: str) -> None:
    """Before anything runs: which model, key, file or option, and the exit code of the kind."""
    found, stderr = run(*arguments, "-c", config)
    assert found == code
    assert words in stderr.splitlines()[-1]


def test_a_key_that_cannot_be_sent(config: Path) -> None:
    """It is not shown."""
    code, stderr = run("org/large", "-c", config, A_KEY_OF_TESTS="sk-\u200bsecret")
    assert code == 1
    assert "A_KEY_OF_TESTS must hold printable ASCII only" in stderr.splitlines()[-1]
    assert "secret" not in stderr


def test_an_unknown_model(embedded_broker: Broker, config: Path, prefix: str) -> None:
    """Neither the configuration nor a command knows it."""
    embedded_broker.create({f"{prefix}control": 1})
    code, stderr = run("huge", "-c", config, SLUICE_BROKER=embedded_broker.servers)
    assert code == 2
    assert "has a model 'huge'; there are: small, org/large" in stderr.splitlines()[-1]


def test_a_model_that_a_command_added(
    embedded_broker: Broker, config: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker needs no section: server, key and headers come from the topic control."""
    server = Server()
    monkeypatch.setenv("A_KEY_OF_TESTS", "sesame")
    control = f"{prefix}control"
    embedded_broker.create({control: 1})
    command = ModelControl(
        name="new",
        action="add",
        input_price=1,
        output_price=2,
        limit=3,
        server=ModelServer(
            name="org/its-name",
            base_url=server.url,
            api_key_env="A_KEY_OF_TESTS",
            extra_headers={"X-Team": "${A_KEY_OF_TESTS}"},
        ),
    )
    producer = Producer({"bootstrap.servers": embedded_broker.servers, "log_level": 0})
    producer.produce(control, encode(command), control_key(command))
    assert producer.flush(PATIENCE) == 0
    try:
        found = answers(embedded_broker, config, prefix, [], signal.SIGTERM, ("new",))
        assert found["new"]["status_code"] == 200
        assert server.requests[0]["model"] == "org/its-name"
        assert server.keys == ["Bearer sesame"]
    finally:
        server.close()
    monkeypatch.delenv("A_KEY_OF_TESTS")
    code, stderr = run("new", "-c", config, SLUICE_BROKER=embedded_broker.servers)
    assert code == 1
    assert "${A_KEY_OF_TESTS} in its extra_headers is not set" in stderr


def test_no_broker(config: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line names the address, and the exit code is 1."""
    monkeypatch.setattr(consumer, "PATIENCE", 0.5)
    code, stderr = run(
        "small", "org/large", "-c", config, "--dataset", dataset, SLUICE_BROKER="127.0.0.1:9"
    )
    assert code == 1
    assert stderr.splitlines()[-1].startswith("Error: no broker at 127.0.0.1:9 answers")


def test_topics_are_missing(
    embedded_broker: Broker, config: Path, dataset: Path, prefix: str
) -> None:
    """One model's trouble ends the others, and says how to mend it."""
    embedded_broker.create({f"{prefix}routed.small": 1})
    where = embedded_broker.servers
    code, stderr = run(
        "small", "org/large", "-c", config, "--dataset", dataset, SLUICE_BROKER=where
    )
    assert code == 1
    assert stderr.splitlines()[-1].endswith("make it with: sluice topics create")


def test_it_starts_without_what_only_routers_need() -> None:
    """A worker a model is many processes: none loads Faust, embedders or indexes."""
    script = (
        "import sys, streams.cli.work\n"
        "heavy = {'faust', 'aiokafka', 'wordllama', 'annoy', 'rocksdict', 'rich'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.stdout.strip() == "[]", shown.stderr


@pytest.mark.parametrize("key", ["", None])
def test_it_waits_without_a_key(config: Path, key: str | None) -> None:
    """Asked to wait, a worker without a key says which one is missing and ends when it is told to;
    it asks no broker for queries that it could not answer."""
    environment = {**os.environ, "SLUICE_BROKER": "127.0.0.1:9", "A_KEY_OF_TESTS": key or ""}
    if key is None:
        del environment["A_KEY_OF_TESTS"]
    command = [sys.executable, "-m", "streams.cli", "work", "org/large", "--wait-for-key"]
    with subprocess.Popen(
        [*command, "-c", str(config)], env=environment, stderr=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stderr is not None
        assert "A_KEY_OF_TESTS is empty; set it" in worker.stderr.readline()
        worker.terminate()
        assert worker.wait(PATIENCE) == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_two_models_in_a_process(
    broker: Broker, config: Path, dataset: Path, prefix: str, how: signal.Signals
) -> None:
    """Both are answered; a signal ends the process in order, with exit code 0."""
    results = answers(broker, config, prefix, ["--dataset", str(dataset)], how)
    assert {model: result["score"] for model, result in results.items()} == ROW["scores"]


def test_echo_needs_no_server(embedded_broker: Broker, config: Path, prefix: str) -> None:
    """Models with and without a server are answered with the query's words, and no key is read."""
    results = answers(embedded_broker, config, prefix, ["--echo"], signal.SIGTERM)
    said = {m: r["response"]["choices"][0]["message"]["content"] for m, r in results.items()}
    assert said == {"small": "?", "org/large": "?"}


def answers(
    broker: Broker,
    config: Path,
    prefix: str,
    flags: list[str],
    how: signal.Signals,
    models: tuple[str, ...] = ("small", "org/large"),
) -> dict[str, Any]:
    """Each model's result, of a process that answers a query a model until the signal `how`."""
    topics = Topics(prefix)
    counts = {topics.routed(model): 1 for model in models}
    counts |= {topics.results: 1, topics.rejected: 1, topics.starts: 1}
    broker.create(counts)
    producer = Producer({"bootstrap.servers": broker.servers, "log_level": 0})
    for model in models:
        producer.produce(topics.routed(model), encode(query(model)), b"a")
    assert producer.flush(PATIENCE) == 0
    command = ["-c", "from streams.cli import main; main()", "work", *models]
    process = subprocess.Popen(
        [sys.executable, *command, "-c", str(config), *flags],
        env={**os.environ, "SLUICE_BROKER": broker.servers},
        stderr=subprocess.PIPE,
        text=True,
    )
    records = Records(broker.servers, counts)
    try:
        give_up = time.monotonic() + PATIENCE
        while len(found := records.of(topics.results)) < len(models):
            assert process.poll() is None
            assert time.monotonic() < give_up
        process.send_signal(how)
        _, stderr = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        records.close()
    assert process.returncode == 0, stderr
    assert "stopped: what was taken is answered and committed" in stderr
    return {record.json()["model"]: record.json() for record in found}


def query(model: str) -> Routed:
    return Routed(
        id="a",
        decision_id=f"for {model}",
        model=model,
        max_tokens=1,
        reserved=1,
        policy="test",
        source=Source("queries", 0, 0),
        prompt="?",
    )
