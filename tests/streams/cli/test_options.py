"""What several commands have in common: files, amounts, addresses, times, an end."""

from __future__ import annotations

import gzip
import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

from streams.cli import options
from streams.kafka.errors import BrokerError
from tests.support.command import run
from tests.support.patience import PATIENCE

CONTEXT = click.Context(click.Command("any"))
OPTION = click.Option(["--any"])


def refused(folder: Path, command: str, output: Path | str) -> str:
    """What a command says that is refused where it would write, before it asks any broker.

    {file} in it is a file that is there.
    """
    given = folder / "given.jsonl"
    given.touch()
    code, _, stderr = run(*command.format(file=given).split(), output, broker="127.0.0.1:1")
    assert code == 2
    return " ".join(stderr.replace("│", " ").split())


class TestWritable:
    def test_a_folder_that_is_there(self, tmp_path: Path) -> None:
        """The file itself need not be there yet."""
        assert options.writable(CONTEXT, OPTION, tmp_path / "new") == tmp_path / "new"
        assert options.writable(CONTEXT, OPTION, None) is None

    def test_a_folder_that_is_not(self, tmp_path: Path) -> None:
        """The folder is named before any work is done."""
        with pytest.raises(click.BadParameter, match="absent is not there or not writable"):
            options.writable(CONTEXT, OPTION, tmp_path / "absent" / "new")

    @pytest.mark.parametrize(
        "command",
        [
            "replay --policy random --decisions",
            "evaluate --dataset x --json",
            "bootstrap {file} --history",
            "batch run {file} --out",
            "learn --log",
            "audit --metrics-file",
        ],
    )
    def test_standard_output_is_no_file(self, tmp_path: Path, command: str) -> None:
        """No file named "-" is made of what somebody wants to see."""
        assert "standard output does not take it" in refused(tmp_path, command, "-")

    @pytest.mark.parametrize(
        "command",
        [
            "replay --policy random --json",
            "replay --policy random --decisions",
            "audit --json",
            "bootstrap {file} --history",
            "batch run {file} --out",
            "learn --log",
            "history",
        ],
    )
    def test_commands_that_write(self, tmp_path: Path, command: str) -> None:
        """Each refuses a folder that is not there at once, and asks no broker for anything."""
        assert "not there or not writable" in refused(
            tmp_path, command, tmp_path / "absent" / "new"
        )


class TestListed:
    def test_words(self) -> None:
        """Each once, in their order, without blanks."""
        assert options.listed(str)(CONTEXT, OPTION, "b, a,b,, c") == ("b", "a", "c")
        assert options.listed(str)(CONTEXT, OPTION, "") == ()

    def test_a_word_that_is_none(self) -> None:
        """The error is that of the word's own reader."""
        with pytest.raises(click.BadParameter, match="no policy 'best'; there are: "):
            options.listed(options.policy)(CONTEXT, OPTION, "random,best")


class TestAmount:
    def test_a_decimal(self) -> None:
        """Every digit is kept."""
        assert options.Amount().convert("0.000000001", None, None) == Decimal("0.000000001")

    def test_a_word(self) -> None:
        """An example shows what is wanted."""
        with pytest.raises(click.BadParameter, match=r"'much' is not an amount, such as 12\.50"):
            options.Amount().convert("much", None, None)


class TestAddress:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("127.0.0.1:9464", ("127.0.0.1", 9464)),
            ("[::1]:80", ("::1", 80)),
            ("", None),
            (None, None),
        ],
    )
    def test_addresses(self, text: str | None, expected: tuple[str, int] | None) -> None:
        """Host and port, also of IPv6; none for none."""
        assert options.address(CONTEXT, OPTION, text) == expected

    @pytest.mark.parametrize("text", ["9464", ":9464", "host:", "host:0", "host:65536", "host:x"])
    def test_refusals(self, text: str) -> None:
        """An example shows what is wanted."""
        with pytest.raises(click.BadParameter, match="is no address"):
            options.address(CONTEXT, OPTION, text)

    @pytest.mark.parametrize("text", ["http://127.0.0.1:80", "[]:80", "a b:80", "[::1:80]"])
    def test_what_is_no_host(self, text: str) -> None:
        """Nothing in brackets would listen on every address."""
        with pytest.raises(click.BadParameter, match="is no address"):
            options.address(CONTEXT, OPTION, text)

    @pytest.mark.parametrize("text", ["::1:80", "[::]:80", "my_host.local:80", "0.0.0.0:80"])
    def test_hosts(self, text: str) -> None:
        """Names, and addresses of both kinds."""
        found = options.address(CONTEXT, OPTION, text)
        assert found == (text.removesuffix(":80").strip("[]"), 80)


class TestMoment:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (None, None),
            ("12.5", 12.5),
            ("1970-01-01T00:01", 60.0),
            ("1970-01-01T01:01+01:00", 60.0),
        ],
    )
    def test_times(self, text: str | None, expected: float | None) -> None:
        """Unix seconds, or ISO 8601, which is UTC where it does not say otherwise."""
        assert options.moment(CONTEXT, OPTION, text) == expected

    def test_now(self) -> None:
        """The clock of this machine."""
        before = time.time()
        found = options.moment(CONTEXT, OPTION, "now")
        assert found is not None
        assert before <= found <= time.time()

    @pytest.mark.parametrize("text", ["noon", "nan", "inf", "-5", "1795888262000", "0001-01-01"])
    def test_what_is_no_time(self, text: str) -> None:
        """The rule is told; no clock of a log shows it, nor milliseconds."""
        with pytest.raises(click.BadParameter, match=f"'{text}' is no time: it must be now, Unix"):
            options.moment(CONTEXT, OPTION, text)


@pytest.mark.parametrize("name", ["lines.jsonl", "lines.jsonl.gz"])
def test_lines_are_written_as_the_name_says(tmp_path: Path, name: str) -> None:
    """One JSON object a line; gzip where the name ends in .gz."""
    lines: list[dict[str, Any]] = [{"a": 1}, {"b": "ü"}]
    assert options.write_lines(tmp_path / name, lines) == 2
    data = (tmp_path / name).read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    assert text.decode() == '{"a":1}\n{"b":"ü"}\n'


def test_lines_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """As in a file."""
    assert options.write_lines(options.STDOUT, [{"a": 1}, {"b": "ü"}]) == 2
    assert capsys.readouterr().out == '{"a":1}\n{"b":"ü"}\n'


def test_lines_replace_a_file_whole_or_not_at_all(tmp_path: Path) -> None:
    """Where reading fails midway, what was there stays, and nothing is left beside it."""
    file = tmp_path / "history.jsonl"
    file.write_text("precious")
    link = tmp_path / "link.jsonl"
    link.symlink_to(file)

    def failing() -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        raise BrokerError("away")

    with pytest.raises(BrokerError):
        options.write_lines(link, failing())
    assert file.read_text() == "precious"
    options.write_lines(link, [{"a": 1}])
    assert file.read_text() == '{"a":1}\n'
    assert sorted(tmp_path.iterdir()) == [file, link]
    assert options.write_lines(Path("/dev/null"), [{"a": 1}]) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_an_event_while_it_is_waited_for(number: signal.Signals) -> None:
    """Afterwards it has its usual effect again."""
    before = signal.getsignal(number)
    with options.ending() as ended:
        assert not ended.is_set()
        os.kill(os.getpid(), number)
        assert ended.wait(PATIENCE)
    assert signal.getsignal(number) is before
