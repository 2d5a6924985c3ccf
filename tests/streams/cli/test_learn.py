"""`sluice learn`: indexes from the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.estimation.index.manifest import read_manifest
from router.evaluation.datasets import write_jsonl
from streams.cli import main
from streams.kafka.errors import BrokerError
from streams.learn.guard import Judgement
from streams.routing.prior import BEGINS
from tests.streams.learn.conftest import TEXT, history


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployment whose log is a file of the test's."""
    (tmp_path / "sluice.toml").write_text(TEXT.format(folder=tmp_path))
    lines = [
        {"id": f"l{i}", "prompt": f"Line {i}?", "scores": {"a": i % 2}, "cost_usd": {"a": 1e-6}}
        for i in range(20)
    ]
    lines.append({"id": "image", "prompt": "", "scores": {"a": 1}, "cost_usd": {"a": 1e-6}})
    monkeypatch.setattr("streams.cli.learn.collected", lambda *_: iter(lines))
    return tmp_path


def learn(folder: Path, *more: str) -> str:
    """Run the command once."""
    options = ["-c", str(folder / "sluice.toml"), "--log", str(folder / "learned.jsonl")]
    found = CliRunner().invoke(main, ["learn", *options, *more])
    assert found.exit_code == 0, found.output
    return found.output


def test_the_log_and_beliefs_make_an_index(folder: Path) -> None:
    """Of a model that nobody was sent to, and one with few outcomes, beliefs fill what is wanting;
    one line says what became of the index."""
    output = learn(folder)
    manifest = read_manifest(folder / "index")
    assert output.splitlines() == [
        f"index {manifest.version} of 50 queries is taken: there was no index"
    ]
    lines = (folder / "learned.jsonl").read_bytes().splitlines()
    assert len(lines) == 20
    assert BEGINS.encode() not in b"".join(lines)


def test_what_does_worse_is_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index in use stays, and the line says why."""
    learn(folder)
    before = read_manifest(folder / "index").version
    monkeypatch.setattr("streams.cli.learn.judged", lambda *_: Judgement(False, "-3.0 % of it"))
    good = folder / "good.jsonl"
    write_jsonl(history(60), good)
    output = learn(folder, "--history", str(good))
    assert output == "not taken, the index in use stays: -3.0 % of it\n"
    assert read_manifest(folder / "index").version == before


class Schedule:
    """In place of the event that Ctrl-C sets: the time passes at once, and the end comes."""

    def __init__(self, rounds: int) -> None:
        self._left = rounds
        self.waited: list[float] = []

    def is_set(self) -> bool:
        """Whether the end has come."""
        return not self._left

    def wait(self, seconds: float) -> bool:
        """End a round."""
        self.waited.append(seconds)
        self._left -= 1
        return self.is_set()


def test_a_schedule(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away is told, and the next time comes; what has not grown is not built
    again; what has is; and the end ends it."""
    schedule = Schedule(4)
    monkeypatch.setattr("streams.cli.options.ending", lambda: nullcontext(schedule))
    logs: list[int | BrokerError] = [BrokerError("no broker answers"), 20, 20, 40]

    def collected(*_: object) -> Iterator[dict[str, object]]:
        count = logs.pop(0)
        if isinstance(count, BrokerError):
            raise count
        for i in range(count):
            outcome = {"scores": {"a": i % 2}, "cost_usd": {"a": 1e-6}}
            yield {"id": f"l{i}", "prompt": f"Line {i}?", **outcome}

    monkeypatch.setattr("streams.cli.learn.collected", collected)
    told = learn(folder, "--every", "30m").splitlines()
    assert schedule.waited == [1800.0] * 4
    assert told[0] == "not learned this time: no broker answers"
    assert told[1].endswith("is taken: there was no index")
    assert told[2] == "nothing new to learn from"
    assert "of the value that index" in told[3]
    assert len(told) == 4


def test_a_defect_ends_the_schedule(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for one of the things that pass."""
    monkeypatch.setattr("streams.cli.options.ending", lambda: nullcontext(Schedule(4)))
    monkeypatch.setattr("streams.cli.learn.update", lambda *_: 1 / 0)
    options = ["-c", str(folder / "sluice.toml"), "--log", str(folder / "learned.jsonl")]
    found = CliRunner().invoke(main, ["learn", "--every", "1h", *options])
    assert isinstance(found.exception, ZeroDivisionError)


def test_nothing_to_learn_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a score there is no index, and it is said."""
    monkeypatch.setattr("streams.cli.learn.collected", lambda *_: iter([]))
    options = ["-c", str(folder / "sluice.toml"), "--log", str(folder / "learned.jsonl")]
    found = CliRunner().invoke(main, ["learn", *options])
    assert found.exit_code == 1
    assert "nothing to learn from" in found.output


@pytest.mark.parametrize("value", ["1", "0h", "1 week"], ids=["unit", "zero", "words"])
def test_a_duration_that_is_none(value: str) -> None:
    """It is refused."""
    assert CliRunner().invoke(main, ["learn", "--every", value]).exit_code == 2
