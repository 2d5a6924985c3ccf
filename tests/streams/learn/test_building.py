"""An index in the making."""

from __future__ import annotations

import pytest

from router.estimation.index.manifest import read_manifest
from streams.config.settings import Config
from streams.learn.building import drafted, newest
from tests.streams.learn.conftest import history


def test_a_draft_is_nowhere_until_it_is_written(config: Config) -> None:
    """It is fitted, and put in place as a whole; progress tells of each query twice."""
    told: list[int] = []
    draft = drafted(config, history(30), told.append)
    assert sum(told) == 2 * 30
    assert not config.index.path.exists()
    assert draft.write(config, 0).version == read_manifest(config.index.path).version


def test_a_kill_while_it_is_put_in_place_leaves_the_old_index(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stops the writing, what was in place is there, and whole."""
    before = drafted(config, history(30)).write(config, 0)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("router.estimation.index.manifest.exchanged", killed)
    with pytest.raises(KeyboardInterrupt):
        drafted(config, history(40)).write(config, 0)
    assert read_manifest(config.index.path) == before


def test_the_newest_queries() -> None:
    """The last ones are kept."""
    data = history(10)
    assert newest(data, 10) is data
    assert list(newest(data, 3).ids) == ["q7", "q8", "q9"]
