"""An index without a history: what models are believed to do before anything is known of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router.arrays import Floats, Vectors
from router.estimation.embedders import Embedder
from router.estimation.embedders.given import GivenEmbedder
from router.estimation.estimator import Estimator
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex
from router.estimation.index.manifest import Manifest, save_index
from router.evaluation.workload import synthesize
from streams.config.settings import Config

BEGINS = "prior-"
"""Beginning of the ids of a prior's queries, by which it is told from a history."""
EXPLORE = 0.1
"""Part of the queries that goes to a model drawn at random, while there is no history."""
QUERIES = 50
WEAKEST, STRONGEST = 0.5, 0.9
"""Scores that the cheapest and the dearest model are believed to reach, where none is declared."""
PROMPT_TOKENS, OUTPUT_TOKENS = 100, 250
"""Of an answer, for its believed cost."""


def is_prior(history: History) -> bool:
    """Whether outcomes are believed, and not observed."""
    return bool(history.ids) and all(id.startswith(BEGINS) for id in history.ids[:1])


def write_prior(config: Config, embedder: Embedder) -> Manifest:
    """Write an index in which every query has each model's believed score and cost.

    Two processes that do so at the same time write the same bytes.
    """
    prompts = synthesize(QUERIES, 0).prompts
    catalog = config.catalog()
    cost = [
        model.cost(PROMPT_TOKENS, min(OUTPUT_TOKENS, model.max_output_tokens))
        for model in catalog.models
    ]
    history = History(
        [f"{BEGINS}{number}" for number in range(QUERIES)],
        _vectors(embedder, prompts),
        np.tile(believed(config), (QUERIES, 1)),
        np.tile(np.maximum(np.array(cost, dtype=np.float64), 1.0), (QUERIES, 1)),
    )
    estimator = Estimator.fit(history, ExactIndex(history.embeddings), prompts)
    return save_index(
        config.index.path,
        history,
        embedder=embedder.name,
        models=catalog.names,
        kind="exact",
        estimator=estimator.arrays(),
    )


def believed(config: Config) -> Floats:
    """Return each model's believed score, float64[M]: its strength, else by the order of prices."""
    prices = [float(model.output_price + model.input_price) for model in config.models.values()]
    ranks = np.searchsorted(np.unique(prices), prices)
    steps = max(len(np.unique(prices)) - 1, 1)
    scores = WEAKEST + (STRONGEST - WEAKEST) * ranks / steps
    declared = [model.strength for model in config.models.values()]
    return np.array(
        [score if own is None else own for own, score in zip(declared, scores, strict=True)],
        dtype=np.float64,
    )


def _vectors(embedder: Embedder, prompts: Sequence[str]) -> Vectors:
    if not isinstance(embedder, GivenEmbedder):
        return embedder.encode(prompts)
    drawn = np.random.default_rng(0).normal(size=(len(prompts), embedder.dimension))
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit
