"""What an answer tells of models: its games against others, for policies that learn from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from router.estimation.rated import RatedEstimator
from router.estimation.scorer import QueryScorer
from schemas import Receipt, Result
from schemas.result import FAILED
from schemas.share import Game

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
