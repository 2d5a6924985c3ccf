"""An index without a history: what models are believed to do before anything is known of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router.arrays import Floats, Ints, Vectors
from router.estimation.embedders import Embedder
from router.estimation.embedders.given import GivenEmbedder
from router.estimation.estimator import Estimator
from router.estimation.history import History
from router.estimation.index.exact import ExactIndex
from router.estimation.index.manifest import Manifest, save_index
from router.evaluation.datasets import Dataset
from router.evaluation.workload import synthesize
from streams.config.settings import Config

BEGINS = "prior-"
"""Beginning of the ids of a prior's queries, by which it is told from a history."""
QUERIES = 50
WEAKEST, STRONGEST = 0.5, 0.9
"""Scores that the cheapest and the dearest model are believed to reach, where none is declared."""
PROMPT_TOKENS, OUTPUT_TOKENS = 100, 250
"""Of an answer, for its believed cost."""


def has_beliefs(history: History) -> bool:
    """Whether outcomes are believed, and not observed: too little is known of a model."""
    return any(id.startswith(BEGINS) for id in history.ids)


def exploration(config: Config) -> str:
    """Return a line for the log on how models are explored while beliefs fill the index."""
    cold = config.cold_start
    return (
        f"a model has fewer than {cold.outcomes} known outcomes: up to {100 * cold.explore:.0f} % "
        f"of the queries go to models drawn at random, for at most {100 * cold.money:.0f} % of the "
        "money"
    )


def prior_rows(config: Config, known: Ints) -> Dataset | None:
    """Return rows of what is believed, for models of which too little is known.

    Beliefs so weigh as much as the outcomes that are wanting, and leave as these come.

    Args:
        config: With models, in their order.
        known: int64[M], the outcomes of each.

    Returns:
        The rows; None where enough is known of all.
    """
    wanting = np.maximum(config.cold_start.outcomes - known, 0)
    count = int(wanting.max())
    if not count:
        return None
    prompts = synthesize(QUERIES, 0).prompts
    given = np.arange(count)[:, None] < wanting
    return Dataset(
        ids=[f"{BEGINS}{number}" for number in range(count)],
        tasks=[""] * count,
        prompts=[prompts[number % len(prompts)] for number in range(count)],
        models=tuple(config.models),
        scores=np.where(given, believed(config), np.nan),
        costs=np.where(given, _believed_costs(config), np.nan),
    )


def write_prior(config: Config, embedder: Embedder) -> Manifest:
    """Write an index in which every query has each model's believed score and cost.

    Two processes that do so at the same time write the same bytes.
    """
    prompts = synthesize(QUERIES, 0).prompts
    catalog = config.catalog()
    history = History(
        [f"{BEGINS}{number}" for number in range(QUERIES)],
        _vectors(embedder, prompts),
        np.tile(believed(config), (QUERIES, 1)),
        np.tile(_believed_costs(config), (QUERIES, 1)),
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


def _believed_costs(config: Config) -> Floats:
    """Return float64[M] nano-units."""
    cost = [
        model.cost(PROMPT_TOKENS, min(OUTPUT_TOKENS, model.max_output_tokens))
        for model in config.catalog().models
    ]
    return np.maximum(np.array(cost, dtype=np.float64), 1.0)


def _vectors(embedder: Embedder, prompts: Sequence[str]) -> Vectors:
    if not isinstance(embedder, GivenEmbedder):
        return embedder.encode(prompts)
    drawn = np.random.default_rng(0).normal(size=(len(prompts), embedder.dimension))
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit
