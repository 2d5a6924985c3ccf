"""The command line: quick, complete, and plain about what went wrong."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.cli import COMMANDS, EXPLAINED, explained, main
from streams.kafka.errors import BrokerError
from tests.support.command import run


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
            (
                OSError(errno.ENOSPC, "No space left on device"),
                "cannot be written: No",
            ),
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


@pytest.mark.parametrize(
    ("words", "found"), [("sluice bud", "budget"), ("sluice budget s", "set show")]
)
def test_shells_complete_commands(words: str, found: str) -> None:
    """As docs/reference/commands.md has it: the shell asks the command itself."""
    script = "from streams.cli import main; main(prog_name='sluice')"
    count = str(words.count(" "))
    asked = {"_SLUICE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    environment = {**os.environ, **asked}
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert [line.removeprefix("plain,") for line in shown.stdout.split()] == found.split()
