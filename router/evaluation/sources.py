"""Embeds datasets and splits them into histories and arrivals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from router.arrays import Vectors
from router.estimation.embedders import Embedder, make_embedder
from router.estimation.embedders.cache import CachedEmbedder
from router.evaluation.cache_folder import cache_folder
from router.evaluation.datasets import Dataset, DatasetError
from router.evaluation.estimates import PAPER_K
from router.evaluation.experiment import EvaluationData

BLOCK = 512
"""Texts embedded between two steps of the progress bar."""


def embedder_named(text: str) -> Embedder:
    """Return an embedder by `kind` or `kind:model`. Slow ones cache their vectors on disk.

    Raises:
        ValueError: The kind is unknown.
        EmbeddingError: The embedder cannot be loaded.
    """
    kind, _, model = text.partition(":")
    if kind == "wordllama":
        return make_embedder(kind)
    embedder = make_embedder(kind, **({"model": model} if model else {}))
    return CachedEmbedder(embedder, cache_folder() / "embeddings.sqlite")


def embed(
    texts: Sequence[str], embedder: Embedder, progress: Callable[[int], None] = lambda texts: None
) -> Vectors:
    """Embed texts in blocks.

    Args:
        texts: n texts.
        embedder: The embedder.
        progress: Called after each block with the number of its texts.

    Returns:
        float32[n, dim].
    """
    blocks = []
    for start in range(0, len(texts), BLOCK):
        blocks.append(embedder.encode(texts[start : start + BLOCK]))
        progress(len(blocks[-1]))
    return np.concatenate(blocks) if blocks else np.zeros((0, embedder.dimension), np.float32)


def splits(
    dataset: Dataset,
    vectors: Vectors,
    test_fraction: float,
    seeds: Sequence[int],
    k: int = PAPER_K,
) -> Iterator[EvaluationData]:
    """Yield one random split of a dataset for each seed.

    Args:
        dataset: n queries and their outcomes.
        vectors: float32[n, dim].
        test_fraction: Part of the queries that is routed.
        seeds: Of the splits.
        k: Neighbours of the paper's policies.
    """
    row = {name: i for i, name in enumerate(dataset.ids)}
    for seed in seeds:
        everything, queries = dataset.split(test_fraction, seed)
        history = apart(everything, queries)
        data = EvaluationData(
            history,
            queries,
            vectors[[row[name] for name in history.ids]],
            vectors[[row[name] for name in queries.ids]],
            k,
        )
        data.left_out = len(everything) - len(history)
        yield data


def apart(history: Dataset, queries: Dataset) -> Dataset:
    """Return a history without the prompts that stand among the queries, too.

    A query would find its own outcome among its neighbours'.

    Raises:
        DatasetError: Nothing is left of it.
    """
    asked = set(queries.prompts)
    rows = np.array([i for i, text in enumerate(history.prompts) if text not in asked], np.int64)
    if len(history) and not len(rows):
        raise DatasetError("all prompts of the history stand among the queries: nothing is left")
    return history if len(rows) == len(history) else history.take(rows)


def common_models(history: Dataset, queries: Dataset) -> tuple[Dataset, Dataset]:
    """Return both datasets with the models that both know, in the order of the queries' file.

    Raises:
        DatasetError: There are none.
    """
    models = [name for name in queries.models if name in history.models]
    if not models:
        raise DatasetError(
            f"history ({', '.join(history.models[:5])}, …) and queries "
            f"({', '.join(queries.models[:5])}, …) have no model in common"
        )
    return history.with_models(models), queries.with_models(models)
