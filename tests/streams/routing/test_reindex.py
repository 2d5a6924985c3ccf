"""What must hold of a new index: it is handed over once, or refused while routing goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.estimation.index.manifest import read_manifest
from streams.config.settings import load
from streams.routing import reindex
from streams.routing.build import Parts, build
from streams.routing.reindex import Indexes, follow_index
from tests.support.patience import PATIENCE
from tests.support.small_index import build_index


class TestFollowIndex:
    @pytest.fixture(autouse=True)
    def _look_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reindex, "LOOK_SECONDS", 0.01)

    @pytest.fixture
    async def taken(self, config_file: Path) -> AsyncIterator[asyncio.Queue[Parts]]:
        """What is handed over, while the folder is followed."""
        config, queue = load(config_file), asyncio.Queue[Parts]()
        following = asyncio.create_task(
            follow_index(config, build(config), lambda parts, _: queue.put_nowait(parts))
        )
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
