"""Priors for models without history, in columns after those of the known models."""

from __future__ import annotations

import numpy as np

from router.arrays import Floats, Ints
from router.estimation.estimator import Estimates
from router.models.catalog import MILLION, ModelCatalog


def with_newcomers(
    estimates: Estimates, known: ModelCatalog, catalog: ModelCatalog, prompt_tokens: Ints
) -> Estimates:
    """Extend estimates of the known models by columns for models without history.

    A newcomer's quality is the mean over the known models. Its cost is its prices times the output
    tokens that the known models' costs imply (their mean; the longest answer where no price implies
    any). Its upper cost is that of the longest answer: an answer cut short would teach nothing.

    Args:
        estimates: Of n queries, for the K known models.
        known: The known models.
        catalog: All M models; the known ones come first.
        prompt_tokens: int64[n, 1].

    Returns:
        Estimates of the same queries for all M models.
    """
    newcomers = ModelCatalog(catalog.models[len(known) :])
    shape = (len(estimates.quality), len(newcomers))
    tokens = np.clip(
        _implied_tokens(estimates.cost, known, prompt_tokens), 1, newcomers.max_output_tokens
    )
    cost = (prompt_tokens * newcomers.input_price + tokens * newcomers.output_price) / MILLION
    longest = newcomers.cost(prompt_tokens, np.broadcast_to(newcomers.max_output_tokens, shape))
    quality = np.broadcast_to(estimates.quality.mean(axis=1, keepdims=True), shape)
    return Estimates(
        quality=np.hstack([estimates.quality, quality]),
        cost=np.hstack([estimates.cost, cost]),
        upper_cost=np.hstack([estimates.upper_cost, longest]),
        neighbours=estimates.neighbours,
        similarity=estimates.similarity,
    )


def _implied_tokens(cost: Floats, known: ModelCatalog, prompt_tokens: Ints) -> Floats:
    """Return float64[n, 1], the output tokens that estimated costs pay for.

    It is the mean over models with an output price; infinite where no model has one.
    """
    priced = known.output_price > 0
    if not priced.any():
        return np.full((len(cost), 1), np.inf)
    spent = cost[:, priced] * MILLION - prompt_tokens * known.input_price[priced]
    tokens: Floats = (spent / known.output_price[priced]).mean(axis=1, keepdims=True)
    return tokens
