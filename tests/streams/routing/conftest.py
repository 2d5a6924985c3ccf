"""A partition with open reservations, and a configuration with an index."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.support.desk import Desk
from tests.support.small_index import MODELS, build_index


@pytest.fixture
async def desk() -> Desk:
    return await Desk().open()


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration of two models, and the index of a small history."""
    folder, file = tmp_path, tmp_path / "sluice.toml"
    models = "".join(
        f"[models.{model}]\ninput_price = 0\noutput_price = 1\nbudget.limit = 1\n"
        for model in MODELS
    )
    index = orjson.dumps(str(folder / "index")).decode()
    file.write_text(f"{models}[policy]\nexpected_queries = 10\n[index]\npath = {index}\n")
    build_index(file, 200)
    return file
