"""What queries demand for themselves, and which models cannot take them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from router.arrays import Ints
from router.estimation.scorer import UNSET, QueryConstraints, QueryScorer
from router.models.catalog import Model, ModelCatalog
from router.models.pools import served
from schemas import Invalid, Query
from schemas.content import TEXT_KINDS, Content
from schemas.payload_fields import how_to_allow

CHAT_TEMPLATE = 128
"""Prompt tokens that a model's chat template may add to the text: marks, dates, a default system
message."""


def constraints(
    scorer: QueryScorer,
    queries: Sequence[Query],
    contents: Sequence[Content],
    tried: Sequence[Collection[str]] = (),
) -> QueryConstraints:
    """Return what the queries ask for themselves, and where what they hold may go.

    Args:
        scorer: Knows the models.
        queries: n queries.
        contents: What they hold.
        tried: Models that have failed each of them before; empty for none of any.
    """
    catalog = scorer.catalog
    media = scorer.lengths.media_tokens(
        _ints(content.images for content in contents), _ints(content.audio for content in contents)
    )
    allowed = np.array([catalog.mask(query.allowed_models or catalog.names) for query in queries])
    for row, content in enumerate(contents):
        for name in excluded(catalog, content, tried[row] if tried else ()):
            allowed[row, catalog.index[name]] = False
    return QueryConstraints(
        ids=[query.id for query in queries],
        # A byte-level tokenizer never makes more tokens than there are bytes.
        prompt_tokens=_ints(content.size + CHAT_TEMPLATE for content in contents),
        likely_tokens=_likely_tokens(scorer, contents, tried),
        media_tokens=media,
        choices=_ints(content.choices for content in contents),
        max_tokens=_ints(query.output_tokens or UNSET for query in queries),
        max_cost=_ints(UNSET if query.max_cost is None else query.max_cost for query in queries),
        allowed=allowed,
    )


def _likely_tokens(
    scorer: QueryScorer, contents: Sequence[Content], tried: Sequence[Collection[str]]
) -> Ints:
    """Return int64[n, M] or int64[n, 1], the tokens that prompts probably have at most.

    What a pool has refused as too long has more tokens than the pool's context.
    """
    tokens = CHAT_TEMPLATE + scorer.lengths.tokens(
        _ints(content.size for content in contents),
        _ints(TEXT_KINDS.index(content.kind) for content in contents),
        _ints(content.tokens for content in contents),
    )
    catalog = scorer.catalog
    for row, names in enumerate(tried):
        for model in catalog.pooled if names else ():
            refused = [
                pool.context
                for pool in catalog.models[model].pools
                if served(catalog.names[model], pool.name) in names
            ]
            if refused:
                tokens = np.broadcast_to(tokens, (len(contents), len(catalog))).copy()
                tokens[row, model] = max(tokens[row, model], *refused)
    return tokens


def excluded(
    catalog: ModelCatalog, content: Content, tried: Collection[str] = ()
) -> dict[str, str]:
    """Return by model why it cannot take a query; empty where all can.

    Args:
        catalog: The models.
        content: What the query holds.
        tried: Models that have failed it before.
    """
    failed = {name: "has failed" for name in tried if name in catalog.index}
    if not (content.images or content.audio or content.dear):
        return failed
    reasons = {model.name: _why_not(model, content) for model in catalog.models}
    return {name: reason for name, reason in reasons.items() if reason} | failed


def no_model(
    catalog: ModelCatalog, query: Query, fits: bool, tried: Collection[str] = ()
) -> Invalid:
    """Return the refusal of a query that no model may take.

    Args:
        catalog: All models.
        query: The query.
        fits: Whether it fits the context of some model.
        tried: Models that have failed it before.
    """
    content = query.content()
    asked = query.allowed_models or catalog.names
    reasons = {
        name: why for name, why in excluded(catalog, content, tried).items() if name in asked
    }
    if len(reasons) == len(set(asked)) and content.dear and not tried:
        field = f"payload.{content.dear[0]}"
        return Invalid(
            "field_not_allowed",
            f"{field}: {how_to_allow('NAME', content.dear)}",
            field,
        )
    if not fits:
        return Invalid(
            "context_too_long", "prompt and allowed output are longer than any model's context"
        )
    told = "".join(f"; {name} {reason}" for name, reason in reasons.items())
    return Invalid(
        "no_model_allowed",
        "no model is left: allowed_models, max_cost and the models' contexts exclude them all"
        + told,
    )


def _why_not(model: Model, content: Content) -> str:
    if content.images and model.image_tokens is None:
        return "takes no images (image_tokens)"
    if content.audio and model.audio_tokens is None:
        return "takes no audio (audio_tokens)"
    dear = [name for name in content.dear if name not in model.allow_fields]
    return f"does not take {', '.join(dear)} (allow_fields)" if dear else ""


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)
