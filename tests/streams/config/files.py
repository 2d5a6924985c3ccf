"""Small configuration files, read or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.config.settings import Config, ConfigError, load

POLICY = "[policy]\nexpected_queries = 1000\n"
SMALL = '[models.small]\ninput_price = "0.15"\noutput_price = 0.6\nbudget = {limit = "5"}\n'
GOOD = SMALL + POLICY


def read(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Config:
    """Load a text as the file of a folder."""
    file = folder / "sluice.toml"
    file.write_text(text)
    return load(file, environment or {})


def refusal(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> ConfigError:
    """What loading a text ends with; it names the file."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, environment)
    assert str(caught.value).startswith(f"{folder / 'sluice.toml'}: ")
    return caught.value
