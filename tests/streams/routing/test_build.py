"""A router's parts, made from its configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from router.arrays import Floats
from router.estimation.index.manifest import read_manifest
from router.evaluation.datasets import write_jsonl
from router.evaluation.workload import synthesize
from streams.cli import main
from streams.config.settings import load
from streams.routing import reindex
from streams.routing.build import Parts, build
from streams.routing.reindex import Indexes, follow_index
from tests.support.patience import PATIENCE

MODELS = ("mistral-7b", "gpt-4-1106")


def build_index(config_file: Path, queries: int) -> None:
    """Put an index of so many queries in the configured place, as people do."""
    history = config_file.parent / "history.jsonl"
    write_jsonl(synthesize(queries).with_models(MODELS), history)
    command = ["index", "build", "--history", str(history), "--config", str(config_file)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output


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


def upper_cost(config_file: Path, quantile: str) -> Floats:
    environment = {"SLUICE_RESERVATION_QUANTILE": quantile}
    core = build(load(config_file, environment)).scorer
    _, estimates = core.estimate(["Why is the sky blue?", "Write a sorting function."])
    return estimates.upper_cost


def test_the_configured_quantile_sets_what_is_reserved(config_file: Path) -> None:
    """A higher `reservation.quantile` holds more for the same query and model."""
    low, middle, high = (upper_cost(config_file, quantile) for quantile in ("0.7", "0.9", "1"))
    assert np.all(low < middle)
    assert np.all(middle < high)


class TestFollowIndex:
    @pytest.fixture(autouse=True)
    def _look_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reindex, "LOOK_SECONDS", 0.01)

    @pytest.fixture
    async def taken(self, config_file: Path) -> AsyncIterator[asyncio.Queue[Parts]]:
        """What is handed over, while the folder is followed."""
        config, queue = load(config_file), asyncio.Queue[Parts]()
        following = asyncio.create_task(follow_index(config, build(config), queue.put_nowait))
        yield queue
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    async def test_each_new_index_is_handed_over(
        self, config_file: Path, taken: asyncio.Queue[Parts]
    ) -> None:
        """Once each, with what it learned; one that is the same is none."""
        for queries in (150, 150, 180):
            build_index(config_file, queries)
        async with asyncio.timeout(PATIENCE):
            parts = await taken.get()
            while len(parts.scorer.estimator.history) != 180:
                parts = await taken.get()
        assert parts.scorer.index == read_manifest(config_file.parent / "index").version
        assert taken.empty()

    async def test_a_refused_index_is_told_and_routing_goes_on(
        self,
        config_file: Path,
        taken: asyncio.Queue[Parts],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It is said once, and the next good one is taken."""
        (config_file.parent / "index" / "manifest.json").write_text("{}")
        async with asyncio.timeout(PATIENCE):
            while not caplog.records:
                await asyncio.sleep(0.01)
            (config_file.parent / "index" / "manifest.json").unlink()
            (config_file.parent / "index").rename(config_file.parent / "broken")
            build_index(config_file, 150)
            parts = await taken.get()
        assert len(parts.scorer.estimator.history) == 150
        told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert "format is None" in told[0]
        assert len(told) == len(set(told))


def test_versions_that_are_kept_are_found(config_file: Path) -> None:
    """The one in place, one that was replaced, and none for what is not there."""
    config = load(config_file)
    old = build(config)
    build_index(config_file, 150)
    now = build(config)
    indexes = Indexes.kept(config, now)
    assert indexes.at(None) is indexes.at(now.scorer.index) is now
    found = indexes.at(old.scorer.index)
    assert found is not None
    assert len(found.scorer.estimator.history) == 200
    assert indexes.at("another") is None
