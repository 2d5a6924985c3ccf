"""`sluice batch run`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.brokers.embedded import EmbeddedBroker
from streams.cli import main
from tests.streams.cli.conftest import LIMITED
from tests.streams.serve.test_batch_run import lines
from tests.support.front import deploy
from tests.support.stand_in import StandIn


def test_run(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> None:
    """Answers and failures have their files, the summary has the money; again, nothing is asked,
    and another input is refused."""
    config = deploy(tmp_path, prefix, embedded_broker)
    file = tmp_path / "batch.jsonl"
    file.write_bytes(b"\n".join(data for _, data in lines(10)))
    command = ["batch", "run", str(file), "-c", str(tmp_path / "sluice.toml"), "--tenant", "shop"]
    environment = {"SLUICE_BROKER": embedded_broker.servers}
    with StandIn(embedded_broker, config) as stand_in:
        found = CliRunner().invoke(main, command, env=environment)
        assert found.exit_code == 1, found.output
        assert "9 answered" in found.output
        assert "1 failed" in found.output
        assert "spent 0.000006300" in found.output
        assert {query.tenant for query in stand_in.seen} == {"shop"}
        again = CliRunner().invoke(main, command, env=environment)
        assert "spent 0.000006300" in again.output
        assert len(stand_in.seen) == 9
    assert (tmp_path / "batch.out.jsonl").read_text().count("\n") == 9
    assert (tmp_path / "batch.out.errors.jsonl").read_text().count("\n") == 1
    file.write_bytes(b"{}")
    other = CliRunner().invoke(main, command, env=environment)
    assert other.exit_code == 1
    assert "another input" in other.output


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--hours", "nan", "is no number"),
        ("--hours", "721", "0<x<=720"),
        ("--hours", "0", "0<x<=720"),
        ("--tenant", "", "at least 1"),
        ("--tenant", "a\tb", "control characters"),
    ],
)
def test_options_that_no_request_can_have(
    tmp_path: Path, option: str, value: str, why: str
) -> None:
    """They are refused at once, not line by line."""
    (tmp_path / "batch.jsonl").write_bytes(b"{}")
    command = ["batch", "run", str(tmp_path / "batch.jsonl"), option, value]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert why in result.output
    assert not (tmp_path / "batch.out.state.json").exists()


def test_a_broken_state(tmp_path: Path) -> None:
    """Said in a line, with what to do."""
    (tmp_path / "sluice.toml").write_text(LIMITED.format(prefix=""))
    (tmp_path / "batch.jsonl").write_bytes(b"{}")
    (tmp_path / "batch.out.state.json").write_bytes(b'{"id":')
    command = ["batch", "run", str(tmp_path / "batch.jsonl"), "-c", str(tmp_path / "sluice.toml")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "batch.out.state.json is broken" in result.output
    assert "name another --out" in result.output
