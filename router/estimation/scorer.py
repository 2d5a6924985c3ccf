"""From texts to a batch that a policy can decide: embed, estimate, bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from router.arrays import Bools, Ints, Vectors
from router.estimation.embedders.base import Embedder, unit
from router.estimation.estimator import Estimates, Estimator
from router.estimation.newcomers import with_newcomers
from router.models.catalog import Model, ModelCatalog
from router.policies.base import Batch

Mode = Literal["max", "quantile"]
"""How many output tokens an answer may have where its query does not say."""
UNSAID = -1
"""In an array of wishes: the query does not say."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What n queries ask for themselves.

    prompt_tokens: int64[n], an upper bound; max_tokens: int64[n] output tokens, or UNSAID;
    max_cost: int64[n] nano-units, or UNSAID; allowed: bool[n, M], by the query's list of models
    and the registry.
    """

    ids: Sequence[str]
    prompt_tokens: Ints
    max_tokens: Ints
    max_cost: Ints
    allowed: Bools


@dataclass(frozen=True, slots=True)
class Prepared:
    """batch: what the policy sees; output_tokens: int64[n, M] an answer may have, which
    `batch.bound` pays for; said: bool[n], where the query itself said so; fits: bool[n, M], where
    prompt and answer fit the model's context.
    """

    batch: Batch
    output_tokens: Ints
    said: Bools
    fits: Bools


class QueryScorer:
    """The estimates of queries and the reservations that they need. Keeps no state of its own,
    so several threads may use it."""

    def __init__(
        self,
        embedder: Embedder,
        estimator: Estimator,
        known: ModelCatalog,
        mode: Mode = "max",
        newcomers: Iterable[Model] = (),
        index: str | None = None,
    ) -> None:
        """known: the models that the estimator tells of; newcomers: others, which a prior tells
        of (`newcomers.py`). `fleet` is both. index: version of what the estimator rests on.
        """
        self.embedder = embedder
        self.estimator = estimator
        self.known = known
        self.catalog = known.grown(newcomers)
        self.mode = mode
        self.index = index

    def grown(self, newcomers: Iterable[Model]) -> QueryScorer:
        """The same with these newcomers, and no others."""
        return QueryScorer(
            self.embedder, self.estimator, self.known, self.mode, newcomers, self.index
        )

    def bound_of(self, model: int) -> Mode:
        """What sets the output tokens of a model's answer where the query does not say."""
        return self.mode if model < len(self.known) else "max"

    def estimate(
        self, texts: Sequence[str], given: Sequence[Sequence[float] | None] | None = None
    ) -> tuple[Vectors, Estimates]:
        """float32[n, dim] vectors and their estimates. given: embeddings that queries carry.

        Raises EmbeddingError (a ValueError) where vectors cannot be had, or a given embedding is
        not of the index's dimension (ValueError; check those one by one with `unit`).
        """
        vectors = self._vectors(texts, given)
        return vectors, self.estimator.estimate(vectors, texts)

    def batch(self, estimates: Estimates, wishes: Wishes) -> Prepared:
        """The batch to decide. Bounds are Fleet.cost of all the prompt and answer may use.

        A query may not go where its bound exceeds its `max_cost`; nor where prompt and allowed
        output exceed the context.
        """
        prompt = wishes.prompt_tokens[:, None]
        if len(self.catalog) > len(self.known):
            estimates = with_newcomers(estimates, self.known, self.catalog, prompt)
        limit = np.broadcast_to(self.catalog.max_output_tokens, wishes.allowed.shape)
        said = wishes.max_tokens != UNSAID
        if self.mode == "quantile":
            upper = np.ceil(estimates.upper_cost).astype(np.int64)
            usual = np.clip(self.catalog.output_tokens_for(upper, prompt), 1, limit)
            usual[:, len(self.known) :] = limit[:, len(self.known) :]
        else:
            usual = limit
        tokens = np.where(said[:, None], np.minimum(wishes.max_tokens[:, None], limit), usual)
        bound = self.catalog.cost(prompt, tokens)
        fits = prompt + tokens <= self.catalog.context
        capped = wishes.max_cost != UNSAID
        affordable = ~capped[:, None] | (bound <= wishes.max_cost[:, None])
        batch = Batch(
            ids=wishes.ids,
            quality=estimates.quality,
            cost=estimates.cost,
            bound=bound,
            allowed=wishes.allowed & fits & affordable,
        )
        return Prepared(batch, tokens, said, fits)

    def _vectors(
        self, texts: Sequence[str], given: Sequence[Sequence[float] | None] | None
    ) -> Vectors:
        if given is None or all(vector is None for vector in given):
            return self.embedder.encode(texts)
        vectors = np.empty((len(texts), self.embedder.dimension), dtype=np.float32)
        own = [row for row, vector in enumerate(given) if vector is None]
        if own:
            vectors[own] = self.embedder.encode([texts[row] for row in own])
        carried = [(row, vector) for row, vector in enumerate(given) if vector is not None]
        vectors[[row for row, _ in carried]] = unit(
            [vector for _, vector in carried], self.embedder.dimension
        )
        return vectors
