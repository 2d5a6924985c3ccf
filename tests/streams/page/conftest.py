"""A view of two models, small and large, with limits of 1 and 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config.settings import Config, load
from streams.page.view import View
from tests.streams.cli.conftest import LIMITED


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    """The deployment."""
    file = tmp_path / "sluice.toml"
    file.write_text(LIMITED.format(prefix=""))
    return load(file, {})


@pytest.fixture
def view(settings: Config) -> View:
    """Nothing is known yet."""
    return View(settings, settings.amounts())
