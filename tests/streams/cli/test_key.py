"""`sluice key`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from click.testing import CliRunner

from streams.cli import main
from streams.config.settings import load
from streams.serve.keys import Caller, find_caller
from tests.support.router_config import router_config


def test_a_new_key(tmp_path: Path) -> None:
    """What is printed can be appended to a configuration, and then lets the key in; the key
    itself is not in it."""
    router_config(tmp_path)
    result = CliRunner().invoke(main, ["key", "new", 'my "shop"', "--tenant", "shop"])
    assert result.exit_code == 0
    key = result.stderr.split()[-1]
    assert key not in result.stdout
    assert tomllib.loads(result.stdout)
    file = tmp_path / "sluice.toml"
    file.write_text(file.read_text() + result.stdout)
    assert find_caller(load(file, {}).serve.keys, key) == Caller('my "shop"', "shop")


def test_names_that_no_configuration_takes(tmp_path: Path) -> None:
    """They are refused here: the key would be of no use."""
    for arguments in (["", "--tenant", "a"], ["a", "--tenant", ""], ["a\nb"], ["x" * 300]):
        result = CliRunner().invoke(main, ["key", "new", *arguments])
        assert result.exit_code == 2
        assert "its length must be" in result.stderr or "control characters" in result.stderr
        assert result.stdout == ""
