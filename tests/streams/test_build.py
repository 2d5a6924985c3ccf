"""A router's parts, made from its configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from router.arrays import Floats
from router.datasets import write_jsonl
from router.workload import synthesize
from streams.build import build
from streams.cli import main
from streams.config import load

MODELS = ("mistral-7b", "gpt-4-1106")


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of two models, and the index of a small history."""
    folder = tmp_path_factory.mktemp("build")
    history, file = folder / "history.jsonl", folder / "sluice.toml"
    write_jsonl(synthesize(200).with_models(MODELS), history)
    models = "".join(
        f"[models.{model}]\ninput_price = 0\noutput_price = 1\nbudget.limit = 1\n"
        for model in MODELS
    )
    index = orjson.dumps(str(folder / "index")).decode()
    file.write_text(f"{models}[policy]\nexpected_queries = 10\n[index]\npath = {index}\n")
    command = ["index", "build", "--history", str(history), "--config", str(file)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return file


def upper_cost(config_file: Path, quantile: str) -> Floats:
    environment = {"SLUICE_RESERVATION_QUANTILE": quantile}
    core = build(load(config_file, environment)).core
    _, estimates = core.estimate(["Why is the sky blue?", "Write a sorting function."])
    return estimates.upper_cost


def test_the_configured_quantile_sets_what_is_reserved(config_file: Path) -> None:
    """A higher `reservation.quantile` holds more for the same query and model."""
    low, middle, high = (upper_cost(config_file, quantile) for quantile in ("0.7", "0.9", "1"))
    assert np.all(low < middle)
    assert np.all(middle < high)
