"""What an answer tells: games of its model against others, and how many bytes are a token."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from router.estimation.rated import RatedEstimator
from router.estimation.scorer import QueryScorer
from router.models.catalog import Model
from schemas import Receipt, Result
from schemas.content import Content
from schemas.result import FAILED, is_too_long
from schemas.share import Game, TokenUse

LONG = 1_000
"""Bytes from which a prompt teaches how many are a token: in shorter ones the tokens of the chat
template weigh too much."""
Feedback = Callable[[Receipt, Result], Game | None]
"""Returns the games of an answer, None for none."""


def no_feedback(receipt: Receipt, result: Result) -> Game | None:
    """Return nothing: nobody learns from answers."""
    return None


def feedback_on(scorer: Callable[[], QueryScorer]) -> Feedback:
    """Return what makes games of answers.

    Args:
        scorer: Returns the one in use; where it does not rate models, there are no games.
    """
    return partial(_game, scorer)


def _game(scorer: Callable[[], QueryScorer], receipt: Receipt, result: Result) -> Game | None:
    """Return the games of an answer: a preference of a user counts before its score."""
    estimator = scorer().estimator
    if not isinstance(estimator, RatedEstimator) or result.status_code >= FAILED:
        return None
    results = dict(result.preferences)
    if result.score is not None:
        scored = estimator.results(result.model, result.score, receipt.neighbours)
        results = scored | results
    results.pop(result.model, None)
    return Game(model=result.model, results=results) if results else None


def long_prompt(content: Content | None) -> dict[str, Any]:
    """Return what a receipt tells of a query whose answer will teach how many bytes are a token."""
    if content is None or content.images or content.audio or content.size < LONG:
        return {}
    return {"prompt_bytes": content.size, "text": content.kind}


def token_use(receipt: Receipt, result: Result, model: Model) -> TokenUse | None:
    """Return the tokens of a long prompt as its model's server counted them; None where unknown.

    One that was refused as too long has at least so many that they and the answer do not fit the
    context. More tokens than bytes are not believed.
    """
    if not receipt.prompt_bytes or receipt.text is None:
        return None
    tokens = 0
    if is_too_long(result):
        tokens = model.in_pool(receipt.pool).context + 1 - (receipt.max_tokens or 0)
    elif result.status_code < FAILED and result.usage is not None:
        tokens = result.usage.prompt_tokens
    if not 1 <= tokens <= receipt.prompt_bytes:
        return None
    return TokenUse(model=model.name, text=receipt.text, size=receipt.prompt_bytes, tokens=tokens)
