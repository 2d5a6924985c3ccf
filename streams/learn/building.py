"""An index in the making: a history, embedded and fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from router.arrays import Vectors
from router.estimation.embedders import Embedder, make_embedder
from router.estimation.estimator import Estimator
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex
from router.estimation.index.manifest import Manifest, save_index
from router.evaluation.datasets import Dataset
from router.evaluation.sources import embed
from streams.config.settings import Config


@dataclass(frozen=True, slots=True)
class Draft:
    """An index that is not written yet.

    Attributes:
        data: The history's prompts and outcomes.
        history: The same, embedded.
        estimator: Fitted on it.
        embedder: Of its vectors.
    """

    data: Dataset
    history: History
    estimator: Estimator
    embedder: Embedder

    def write(self, config: Config, keep: int, folder: Path | None = None) -> Manifest:
        """Put it in place of the index that is there, whole or not at all.

        Args:
            config: Says which kind of index, and where.
            keep: Replaced indexes that stay beside it.
            folder: Where, instead of the configured folder.

        Raises:
            ValueError: The folder holds something else, or an id cannot be stored.
        """
        return save_index(
            folder or config.index.path,
            self.history,
            embedder=self.embedder.name,
            models=self.data.models,
            kind=config.index.kind,
            trees=config.index.trees,
            estimator=self.estimator.arrays(),
            keep=keep,
        )


def drafted(
    config: Config, data: Dataset, progress: Callable[[int], None] = lambda texts: None
) -> Draft:
    """Embed a history, and fit the estimator.

    Args:
        config: Names the embedder.
        data: At least two queries, with the configured models.
        progress: Called with the number of queries of each block that is embedded, and again of
            each that the estimator has taken in.

    Raises:
        EmbeddingError: Vectors cannot be had.
        ValueError: The history has fewer than two queries.
    """
    embedder = make_embedder(config.embedder.kind, **config.embedder.arguments())
    vectors: Vectors = embed(data.prompts, embedder, progress)
    history = data.history(vectors)
    estimator = Estimator.fit(history, ExactIndex(vectors), data.prompts, progress)
    return Draft(data, history, estimator, embedder)


def newest(data: Dataset, most: int) -> Dataset:
    """Return the last `most` queries."""
    return data if len(data) <= most else data.take(np.arange(len(data) - most, len(data)))
