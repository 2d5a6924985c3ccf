"""The command line: quick, complete, and plain about what went wrong."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from router.estimation.index.manifest import load_index, read_manifest
from streams.brokers import kafka
from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer
from streams.cli import COMMANDS, EXPLAINED, explained, main
from streams.kafka.errors import BrokerError
from tests.support.patience import PATIENCE

SLUICE = [sys.executable, "-c", "from streams.cli import main; main()"]
ROOT = Path(__file__).parents[3]
CONFIG = """
[topics]
prefix = "{prefix}"
partitions = 2
model_partitions = 1
[models.small]
input_price = "0.1"
output_price = "0.2"
[models."org/large"]
input_price = "1"
output_price = "2"
[budget]
total = "1"
[policy]
expected_queries = 100
[index]
kind = "exact"
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has in the environment must not decide a test."""
    for name in ("SLUICE_BROKER", "SLUICE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Path:
    file = tmp_path / "sluice.toml"
    file.write_text(CONFIG.format(prefix=prefix))
    return file


def run(*arguments: object, broker: str | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], env={"SLUICE_BROKER": broker})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_is_there_and_described(self, name: str) -> None:
        """The table's target is a command, and its line is how the command's own help begins."""
        command = main.get_command(click.Context(main), name)
        assert isinstance(command, click.Command)
        assert command.get_short_help_str(limit=200).startswith(COMMANDS[name][1].rstrip("."))

    @pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
    def test_help_imports_nothing_heavy(self, arguments: list[str]) -> None:
        """Help comes from the table alone."""
        script = (
            "import sys\nfrom streams.cli import main\n"
            f"main({arguments!r}, standalone_mode=False)\n"
            "heavy = {'faust', 'numpy', 'confluent_kafka', 'rich', 'scipy', 'aiokafka'}\n"
            "print(sorted(heavy & sys.modules.keys()))"
        )
        shown = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert shown.stdout.splitlines()[-1] == "[]"

    def test_unknown_command(self) -> None:
        """Wrong usage is exit code 2."""
        code, _, stderr = run("nonsense")
        assert code == 2
        assert "No such command 'nonsense'" in stderr

    def test_version_names_what_it_runs_on(self) -> None:
        """What a bug report needs."""
        code, stdout, _ = run("version")
        assert code == 0
        for package in ("sluice-llm ", "faust-streaming ", "confluent-kafka ", "Python 3."):
            assert package in stdout


class TestErrors:
    @pytest.mark.parametrize(("module", "name"), EXPLAINED)
    def test_explained_errors_exist(self, module: str, name: str) -> None:
        """The table's classes are where it says, so none is missed by a change of name."""
        assert issubclass(getattr(importlib.import_module(module), name), Exception)

    def test_defects_are_not_explained_away(self) -> None:
        """An error of no known kind keeps its traceback."""
        assert explained(ValueError("a defect")) is None
        assert explained(OSError("no file in it")) is None

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (BrokerError("no Java"), "no Java"),
            (FileNotFoundError(2, "No such file or directory", "a.toml"), "a.toml: No such"),
            (KafkaException(KafkaError(KafkaError._TRANSPORT)), "no broker answers"),
            (KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), "authorization"),
        ],
    )
    def test_known_kinds_are_one_line(self, error: Exception, words: str) -> None:
        """A person reads what was wrong."""
        message = explained(error)
        assert message is not None
        assert words in message
        assert "\n" not in message

    def test_no_broker(self, config: Path) -> None:
        """A command without its broker says where one is to be had, and exits with 1."""
        code, stdout, stderr = run("topics", "create", "-c", config, broker="127.0.0.1:9")
        assert code == 1
        assert stdout == ""
        assert stderr.startswith("Error: no broker answers")
        assert "SLUICE_BROKER" in stderr


class TestConfig:
    def test_valid(self, config: Path) -> None:
        """A configuration that can be used is summed up."""
        code, stdout, _ = run("config", "validate", config)
        assert code == 0
        assert "valid; 2 models" in stdout

    def test_the_example_is_valid(self) -> None:
        """The example that people copy passes its own check."""
        assert run("config", "validate", ROOT / "examples" / "sluice.toml")[0] == 0

    def test_invalid(self, config: Path) -> None:
        """File, key and rule are named; exit code 1."""
        config.write_text(config.read_text().replace("partitions = 2", "partitions = 0"))
        code, _, stderr = run("config", "validate", config)
        assert code == 1
        assert str(config) in stderr
        assert "topics.partitions" in stderr

    def test_a_model_whose_topic_kafka_cannot_take(self, config: Path) -> None:
        """Names that make no topic are found before anything is made."""
        config.write_text(config.read_text().replace("models.small", f"models.{'m' * 250}"))
        code, _, stderr = run("config", "validate", config)
        assert code == 1
        assert "Kafka takes 249" in stderr

    def test_models_that_would_share_a_topic(self, config: Path) -> None:
        """Both are named before anything is made: their workers would answer for each other."""
        small, large = '[models."größe"]', '[models."gröäe"]'
        text = config.read_text().replace("[models.small]", small)
        config.write_text(text.replace('[models."org/large"]', large))
        code, _, stderr = run("config", "validate", config)
        assert code == 1
        assert "'größe' and 'gröäe' would share the topic" in stderr

    def test_missing_file(self, tmp_path: Path) -> None:
        """No configuration is an error with the file's name."""
        code, _, stderr = run("config", "validate", tmp_path / "nope.toml")
        assert code == 1
        assert "nope.toml" in stderr


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


@contextmanager
def started(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command in the background, and its first line of output."""
    with subprocess.Popen(
        [*SLUICE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


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

    def test_check_on_an_embedded_broker_without_topics(self, config: Path) -> None:
        """Topics that are not there are named, one a line."""
        with EmbeddedBroker() as broker:
            code, _, stderr = run("topics", "check", "-c", config, broker=broker.servers)
        assert code == 1
        assert stderr.count("is missing") >= 11

    def test_a_router_needs_its_topics(self, config: Path) -> None:
        """It says what is missing and how to make it, before it loads anything."""
        with EmbeddedBroker() as broker:
            code, _, stderr = run("route", "-c", config, broker=broker.servers)
        assert code == 1
        assert stderr.count("is missing") >= 11
        assert "sluice topics create" in stderr


def history(file: Path, models: tuple[str, ...], letter: str = "q", count: int = 40) -> Path:
    with gzip.open(file, "wt") as lines:
        for number in range(count):
            outcome = {
                "id": f"{letter}{number}",
                "task": "t",
                "prompt": f"question {number} about {'law' if number % 2 else 'maths'}",
                "scores": dict.fromkeys(models, number % 2),
                "cost_usd": dict.fromkeys(models, 1e-5),
            }
            lines.write(json.dumps(outcome) + "\n")
    return file


class TestIndex:
    def test_build(self, config: Path, tmp_path: Path) -> None:
        """The folder holds the history for the configured models, in their order."""
        file = history(tmp_path / "h.jsonl.gz", ("other", "org/large", "small"))
        out = tmp_path / "index"
        code, stdout, stderr = run("index", "build", "--history", file, "--out", out, "-c", config)
        assert code == 0, stderr
        assert "40 queries, 2 models, 256 dimensions" in stdout
        assert "left out, as not configured: other" in stderr
        manifest = read_manifest(out)
        assert manifest.models == ["small", "org/large"]
        assert manifest.count == 40
        assert "estimator.npz" in manifest.files

    def test_several_histories(self, config: Path, tmp_path: Path) -> None:
        """They are joined, the last queries are kept where there are too many, and what each model
        did is where it was known."""
        both = [
            history(tmp_path / "a.jsonl.gz", ("small",), "a"),
            history(tmp_path / "b.jsonl.gz", ("org/large",), "b"),
        ]
        out = tmp_path / "index"
        asked = [part for file in both for part in ("--history", file)]
        code, _, stderr = run("index", "build", *asked, "--most", 70, "--out", out, "-c", config)
        assert code == 0, stderr
        assert "left out: the first 10 queries" in stderr
        known = np.isfinite(
            load_index(out, embedder=read_manifest(out).embedder, dimension=256).history.scores
        )
        assert known.sum(axis=0).tolist() == [30, 40]

    def test_a_model_without_outcomes_is_named(self, config: Path, tmp_path: Path) -> None:
        """A configured model that the history does not know stops the build."""
        file = history(tmp_path / "h.jsonl.gz", ("small",))
        code, _, stderr = run("index", "build", "--history", file, "-c", config)
        assert code == 1
        assert "no outcomes of org/large; it has: small" in stderr

    def test_a_bad_history_is_named_by_line(self, config: Path, tmp_path: Path) -> None:
        """File, line and field, not a traceback."""
        bad = tmp_path / "bad.jsonl"
        bad.write_text('{"id": 1}\n')
        code, _, stderr = run("index", "build", "--history", bad, "-c", config)
        assert code == 1
        assert "bad.jsonl, line 1: 'id' must be a string" in stderr

    def test_another_folder_is_not_overwritten(self, config: Path, tmp_path: Path) -> None:
        """A folder that is no index stays as it is."""
        file = history(tmp_path / "h.jsonl.gz", ("small", "org/large"))
        code, _, stderr = run("index", "build", "--history", file, "--out", tmp_path, "-c", config)
        assert code == 1
        assert "something other than an index" in stderr
        assert file.exists()
