"""A new index is taken unless it does worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from router.evaluation.datasets import Dataset
from streams.config.settings import Config
from streams.learn.building import drafted
from streams.learn.guard import judged
from tests.streams.learn.conftest import history


def test_the_first_index_is_taken(config: Config) -> None:
    """There is nothing to compare it with."""
    assert judged(config, drafted(config, history(60))).taken


def test_what_does_better_is_taken(config: Config) -> None:
    """An index of reversed scores is replaced by a good one, and the same again is no worse."""
    good = history(120)
    drafted(config, history(120, right=(1, 0), name="w")).write(config, 0)
    better = judged(config, drafted(config, good))
    assert better.taken
    assert better.gain is not None
    assert better.gain.part > 0
    drafted(config, good).write(config, 0)
    again = judged(config, drafted(config, good))
    assert again.taken
    assert again.gain is not None
    assert again.gain.part == 0


def test_what_does_worse_is_not_taken(config: Config) -> None:
    """A few queries of many topics teach less than the index in place knows."""
    words = [
        "apple",
        "engine",
        "violin",
        "glacier",
        "lawyer",
        "pepper",
        "galaxy",
        "cotton",
        "saddle",
        "harbour",
    ]

    def of_topics(count: int, name: str) -> Dataset:
        topic = np.arange(count) % len(words)
        return replace(
            history(count, name=name),
            prompts=[f"{words[t]} {words[t]} {words[t]}" for t in topic],
            scores=np.eye(2)[np.array([0, 1, 1, 0, 1, 0, 0, 1, 0, 1])[topic]],
        )

    drafted(config, of_topics(200, "o")).write(config, 0)
    judgement = judged(config, drafted(config, of_topics(10, "n")))
    assert not judgement.taken
    assert judgement.gain is not None
    assert judgement.gain.part < 0
    assert judgement.gain.rows == 10


def test_another_embedder_is_taken(config: Config) -> None:
    """An index that cannot be used any more is replaced, with the reason."""
    drafted(config, history(60)).write(config, 0)
    (config.index.path / "outcomes.npz").write_bytes(b"")
    judgement = judged(config, drafted(config, history(60)))
    assert judgement.taken
    assert "cannot be used" in judgement.words
