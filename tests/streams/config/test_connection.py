"""The sections that say where a deployment is, read without the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config.connection import load_connection
from streams.config.settings import ConfigError, load
from tests.streams.config.files import GOOD


def test_it_agrees_with_the_whole_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sections, variables included; what stands in the others is not looked at."""
    file = tmp_path / "sluice.toml"
    file.write_text(GOOD + '[topics]\nprefix = "shop."\n[router]\nid = "r"\n')
    monkeypatch.setenv("SLUICE_BROKER", "kafka:1")
    found, whole = load_connection(file), load(file)
    assert (found.broker, found.topics, found.router) == (whole.broker, whole.topics, whole.router)
    assert (found.broker.servers, list(found.models)) == ("kafka:1", ["small"])


def test_errors_are_told_in_the_same_way(tmp_path: Path) -> None:
    """By file and key."""
    file = tmp_path / "sluice.toml"
    file.write_text("[broker]\nserver = 1\n")
    with pytest.raises(ConfigError, match=r"broker\.server: no such key; did you mean servers"):
        load_connection(file)
