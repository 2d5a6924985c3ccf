"""A deployment with an embedder that takes no time, and histories for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from router.evaluation.datasets import Dataset
from streams.config.settings import Config, load

TEXT = """
[models.a]
input_price = "1"
output_price = "1"
[models.b]
input_price = "1"
output_price = "1"
[budget]
total = "1"
[policy]
expected_queries = 100
[index]
path = "{folder}/index"
kind = "exact"
"""
TOPICS = ("apples and pears in the garden", "engines and wheels of old trains")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two models at the same price."""
    file = tmp_path / "sluice.toml"
    file.write_text(TEXT.format(folder=tmp_path))
    return load(file, {})


def history(count: int, right: Sequence[int] = (0, 1), seed: int = 0, name: str = "q") -> Dataset:
    """Queries of two topics, each with one model that is right (nine times of ten).

    Args:
        count: Queries.
        right: The model that is right on each topic.
        seed: Of exceptions.
        name: Begins the ids.
    """
    topic = np.arange(count) % 2
    good = np.array(right)[topic]
    swapped = np.random.default_rng(seed).random(count) < 0.1
    scores = np.eye(2)[np.where(swapped, 1 - good, good)]
    return Dataset(
        ids=[f"{name}{i}" for i in range(count)],
        tasks=[""] * count,
        prompts=[f"Tell me about {TOPICS[t]}, please, part {i}" for i, t in enumerate(topic)],
        models=("a", "b"),
        scores=scores,
        costs=np.full((count, 2), 1000.0),
    )
