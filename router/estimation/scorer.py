"""Turns texts into a batch that a policy can decide: embed, estimate, bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from router.arrays import Bools, Floats, Ints, Vectors
from router.estimation.embedders.base import Embedder, unit
from router.estimation.estimator import Estimates, Estimator
from router.estimation.newcomers import with_newcomers
from router.estimation.observed import Observed
from router.estimation.prompt_lengths import PromptLengths
from router.estimation.rated import RatedEstimator
from router.models.catalog import MILLION, Model, ModelCatalog
from router.policies.base import Batch

Mode = Literal["max", "quantile"]
"""How many output tokens an answer may have where its query does not say."""
DEAREST = 2.0**62
"""Most nano-unit millionths of a reservation."""
UNSET = -1
"""In arrays of `QueryConstraints`: the query does not say."""


@dataclass(frozen=True, slots=True)
class QueryConstraints:
    """What n queries demand for themselves.

    Attributes:
        ids: n query ids.
        prompt_tokens: int64[n], upper bounds of the prompts' tokens, images and audio aside.
        max_tokens: int64[n] output tokens, UNSET where the query does not say.
        max_cost: int64[n] nano-units, UNSET where the query does not say.
        allowed: bool[n, M], the models admitted by the query's own list and by what it holds.
        likely_tokens: int64[n, M] or int64[n, 1], the tokens that the prompts probably have at
            most: whether they fit a context goes by these. None for `prompt_tokens`.
        media_tokens: int64[n, M], reserved for images and audio; None for none.
        choices: int64[n], the answers that a query asks for; None for one.
    """

    ids: Sequence[str]
    prompt_tokens: Ints
    max_tokens: Ints
    max_cost: Ints
    allowed: Bools
    likely_tokens: Ints | None = None
    media_tokens: Ints | None = None
    choices: Ints | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch to decide, and what its reservations are made of.

    Attributes:
        batch: What the policy sees.
        tokens: int64[n, M], of prompts and answers, that `batch.bound` pays for.
        prompt_tokens: int64[n, M], those that the prompt probably has.
        output_tokens: int64[n, M], those of the answer alone.
        explicit_max_tokens: bool[n], where the query itself sets `max_tokens`.
        fits: bool[n, M], where prompt and answer fit the model's context.
        pools: int64[n, M], the number of the model's pool that would answer, `NONE` where it has
            none that holds the query.
    """

    batch: Batch
    tokens: Ints
    prompt_tokens: Ints
    output_tokens: Ints
    explicit_max_tokens: Bools
    fits: Bools
    pools: Ints

    def rows(self, rows: slice | Ints) -> Prepared:
        """Return what belongs to some queries: those of a span, or of int64[m] numbers."""
        batch = self.batch
        kept = Batch(
            ids=[batch.ids[i] for i in np.arange(len(batch.ids))[rows].tolist()],
            quality=batch.quality[rows],
            cost=batch.cost[rows],
            bound=batch.bound[rows],
            allowed=batch.allowed[rows],
        )
        return Prepared(
            kept,
            self.tokens[rows],
            self.prompt_tokens[rows],
            self.output_tokens[rows],
            self.explicit_max_tokens[rows],
            self.fits[rows],
            self.pools[rows],
        )


class QueryScorer:
    """Estimates queries and the reservations that they need.

    An instance is never changed after construction, so several threads may use it.
    """

    def __init__(
        self,
        embedder: Embedder,
        estimator: Estimator | RatedEstimator,
        known: ModelCatalog,
        mode: Mode = "max",
        newcomers: Iterable[Model] = (),
        index: str | None = None,
        observed: Observed = Observed(),  # noqa: B008  # immutable
    ) -> None:
        """Combine an embedder, an estimator and the models that it knows.

        Args:
            embedder: Turns texts into vectors.
            estimator: Estimates for the `known` models.
            known: The models of the estimator's history, in its order.
            mode: What bounds an answer whose query sets no `max_tokens`.
            newcomers: Models without history, estimated by a prior (`newcomers.py`). They follow
                the known ones in `catalog`.
            index: Version of the index that the estimator rests on.
            observed: What is known of the models' servers beside that.
        """
        self.embedder = embedder
        self.estimator = estimator
        self.known = known
        self.catalog = known.extended(newcomers)
        self.mode = mode
        self.index = index
        self.observed = observed
        self.lengths = PromptLengths(observed, self.catalog)

    def with_newcomers(self, newcomers: Iterable[Model]) -> QueryScorer:
        """Return a scorer with exactly these newcomers after the known models.

        Args:
            newcomers: The models without history; they replace those of this scorer.
        """
        return self._with(self.estimator, newcomers)

    def following(
        self,
        snapshot: Mapping[str, Any],
        observed: Observed = Observed(),  # noqa: B008  # immutable
    ) -> QueryScorer:
        """Return a scorer that takes over what has been learned; this one where nothing is new.

        Args:
            snapshot: Of a policy: estimates take over what it tells of models.
            observed: What is known of the models' servers beside that.
        """
        estimator = self.estimator.following(snapshot)
        if estimator is self.estimator and observed == self.observed:
            return self
        return self._with(estimator, self._newcomers(), observed)

    def bound_of(self, model: int) -> Mode:
        """Return what bounds the answers of a model, by number, to queries without `max_tokens`."""
        return self.mode if model < len(self.known) else "max"

    def estimate(
        self, texts: Sequence[str], given: Sequence[Sequence[float] | None] | None = None
    ) -> tuple[Vectors, Estimates]:
        """Embed texts and estimate every known model's answers.

        Args:
            texts: n prompts.
            given: n embeddings that the queries carry, None for those that carry none.

        Returns:
            The vectors, float32[n, dim], and their estimates. Without text and embedding (a query
            of nothing but an image) they are 0, and the models' means.

        Raises:
            EmbeddingError: Vectors cannot be had (a ValueError too).
            ValueError: A given embedding is not of the index's dimension; check those one by one
                with `unit`.
        """
        told = (
            [bool(text) for text in texts]
            if given is None
            else [
                bool(text) or vector is not None for text, vector in zip(texts, given, strict=True)
            ]
        )
        if all(told):
            vectors = _vectors(self.embedder, texts, given)
            return vectors, self.estimator.estimate(vectors, texts)
        rows = np.flatnonzero(told)
        vectors = np.zeros((len(texts), self.embedder.dimension), dtype=np.float32)
        estimates = self.estimator.usual(len(texts))
        if len(rows):
            some = [texts[row] for row in rows.tolist()]
            vectors[rows] = _vectors(
                self.embedder,
                some,
                None if given is None else [given[row] for row in rows.tolist()],
            )
            estimates = estimates.replaced(rows, self.estimator.estimate(vectors[rows], some))
        return vectors, estimates

    def batch(self, estimates: Estimates, constraints: QueryConstraints) -> Prepared:
        """Build the batch to decide: estimates, reservations, and where each query may go.

        A reservation is the catalog's cost of the prompt and of all output tokens that the answers
        may have, for each call that may be billed. A query may not go where its reservation exceeds
        its `max_cost`, nor where prompt and allowed output exceed the model's context. A model with
        pools answers from the shortest that holds the query and is not busy, at that pool's prices.

        Args:
            estimates: Of the n queries, for the known models.
            constraints: Of the same queries, for all models of `catalog`.
        """
        prompt = constraints.prompt_tokens[:, None]
        if len(self.catalog) > len(self.known):
            estimates = with_newcomers(estimates, self.known, self.catalog, prompt)
        explicit_max_tokens = constraints.max_tokens != UNSET
        tokens = self._output_tokens(estimates, constraints)
        media = _or(constraints.media_tokens, np.zeros((1, 1), dtype=np.int64))
        choices = _or(constraints.choices, np.ones(1, dtype=np.int64))[:, None]
        length = _or(constraints.likely_tokens, prompt)
        answer, most = (prompt + media, tokens * choices), constraints.max_cost[:, None]
        most = np.where(most == UNSET, np.iinfo(np.int64).max, most)
        busy = self.observed.busy
        pools, bound = self.catalog.placed(length + media + tokens, answer, most, busy)
        cost = self._expected_cost(estimates.cost, media, choices)
        if self.catalog.pooled:
            usual = self.catalog.cost(*answer) * self.catalog.calls
            cost = cost * bound / np.maximum(usual, 1)
        fits = (length + media + tokens <= self.catalog.context) & self._is_countable(*answer)
        batch = Batch(
            ids=constraints.ids,
            quality=estimates.quality,
            cost=cost,
            bound=bound,
            allowed=constraints.allowed & fits & (bound <= most),
        )
        bound_tokens: Ints = ((prompt + media + tokens * choices) * self.catalog.calls).astype(
            np.int64
        )
        likely = np.broadcast_to(length + media, tokens.shape)
        return Prepared(batch, bound_tokens, likely, tokens, explicit_max_tokens, fits, pools)

    def _output_tokens(self, estimates: Estimates, constraints: QueryConstraints) -> Ints:
        """Return int64[n, M], the output tokens that answers may have."""
        limit = np.broadcast_to(self.catalog.max_output_tokens, constraints.allowed.shape)
        prompt, asked = constraints.prompt_tokens[:, None], constraints.max_tokens[:, None]
        if self.mode == "quantile":
            upper = np.ceil(estimates.upper_cost).astype(np.int64)
            usual = np.clip(self.catalog.output_tokens_for(upper, prompt), 1, limit)
            usual[:, len(self.known) :] = limit[:, len(self.known) :]
        else:
            usual = limit
        tokens: Ints = np.where(asked != UNSET, np.minimum(asked, limit), usual)
        return tokens

    def _is_countable(self, prompt: Ints, output: Ints) -> Bools:
        """Return bool[n, M], where a reservation can be worked out in 64 bits."""
        catalog = self.catalog
        price = prompt * catalog.input_price.astype(float) + output * catalog.output_price.astype(
            float
        )
        countable: Bools = price * catalog.calls < DEAREST
        return countable

    def _expected_cost(self, cost: Floats, media: Ints, choices: Ints) -> Floats:
        """Return estimated costs, float64[n, M] nano-units, with what the history cannot tell.

        That is images and audio, several answers, and that a model is free of charge by now.
        """
        expected = cost * choices + media * self.catalog.input_price / MILLION
        return np.where(self.catalog.free, 0.0, expected)

    def _newcomers(self) -> Sequence[Model]:
        return self.catalog.models[len(self.known) :]

    def _with(
        self,
        estimator: Estimator | RatedEstimator,
        newcomers: Iterable[Model],
        observed: Observed | None = None,
    ) -> QueryScorer:
        observed = self.observed if observed is None else observed
        return QueryScorer(
            self.embedder, estimator, self.known, self.mode, newcomers, self.index, observed
        )


def _vectors(
    embedder: Embedder, texts: Sequence[str], given: Sequence[Sequence[float] | None] | None
) -> Vectors:
    """Return float32[n, dim]: the embeddings given, and of the other texts those computed."""
    if given is None or all(vector is None for vector in given):
        return embedder.encode(texts)
    vectors = np.empty((len(texts), embedder.dimension), dtype=np.float32)
    own = [row for row, vector in enumerate(given) if vector is None]
    if own:
        vectors[own] = embedder.encode([texts[row] for row in own])
    carried = [(row, vector) for row, vector in enumerate(given) if vector is not None]
    vectors[[row for row, _ in carried]] = unit(
        [vector for _, vector in carried], embedder.dimension
    )
    return vectors


def _or(values: Ints | None, default: Ints) -> Ints:
    return default if values is None else values
