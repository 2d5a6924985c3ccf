"""What a settled answer tells: games of its model against others, how many bytes are a token, what
images take, and how far score and cost were from their estimates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.budget.charges import known_cost
from router.estimation.rated import RatedEstimator
from router.estimation.scorer import QueryScorer
from router.estimation.token_ratio import MOST_RATIO
from router.models.catalog import Model
from schemas import Receipt, Result
from schemas.content import Content
from schemas.result import FAILED, is_too_long
from schemas.share import Game, ImageUse, Outcome, TokenUse
from schemas.usage import is_believable
from streams.routing.constraints import CHAT_TEMPLATE
from streams.state.partition import Partition

LONG = 1_000
"""Bytes from which a prompt teaches how many are a token: in shorter ones the tokens of the chat
template weigh too much."""


class Feedback:
    """Gathers what answers tell for the next report of their partition."""

    def __init__(self, scorer: Callable[[], QueryScorer], outcomes: bool = False) -> None:
        """Args:
        scorer: Returns the one in use; where it does not rate models, there are no games.
        outcomes: Whether judged answers are told beside their estimates.
        """
        self._scorer = scorer
        self._outcomes = outcomes

    def gather(self, partition: Partition, receipt: Receipt, result: Result) -> None:
        """Gather what the answer to a decision tells."""
        scorer = self._scorer()
        if game := game_of(receipt, result, scorer):
            partition.games.add(game)
        number = scorer.catalog.index.get(result.model)
        if number is not None and (
            use := token_use(receipt, result, scorer.catalog.models[number])
        ):
            partition.token_uses.add(use)
        if number is not None and (image := image_use(receipt, result, scorer, number)):
            partition.image_uses.add(image)
        if self._outcomes and (outcome := outcome_of(receipt, result, scorer)):
            partition.outcomes.add(outcome)


def image_use(
    receipt: Receipt, result: Result, scorer: QueryScorer, number: int
) -> ImageUse | None:
    """Return the tokens of each image of a prompt that took more than was reserved; None for other
    prompts, and where they are not known.

    Args:
        receipt: Of the decision.
        result: Its answer.
        scorer: Knows what is reserved for an image.
        number: Of the model in its catalog.
    """
    model, usage = scorer.catalog.models[number], result.usage
    if not receipt.images or usage is None or result.estimated or result.status_code >= FAILED:
        return None
    held = receipt.images * int(scorer.lengths.image_tokens[number])
    if usage.prompt_tokens <= receipt.prompt_bytes + CHAT_TEMPLATE + held:
        return None
    if not is_believable(usage, result.response, model.context):
        return None
    # No text has fewer tokens: what the images are taken for is too much, never too little.
    left = usage.prompt_tokens - int(receipt.prompt_bytes / MOST_RATIO)
    return ImageUse(
        model=model.name, declared=model.image_tokens or 0, tokens=-(-left // receipt.images)
    )


def game_of(receipt: Receipt, result: Result, scorer: QueryScorer) -> Game | None:
    """Return the games of an answer: a preference of a user counts before its score."""
    estimator = scorer.estimator
    if not isinstance(estimator, RatedEstimator) or result.status_code >= FAILED:
        return None
    results = dict(result.preferences)
    if result.score is not None:
        scored = estimator.results(result.model, result.score, receipt.neighbours)
        results = scored | results
    results.pop(result.model, None)
    return Game(model=result.model, results=results) if results else None


def outcome_of(receipt: Receipt, result: Result, scorer: QueryScorer) -> Outcome | None:
    """Return a judged answer beside its estimates; None where it was estimated by another index, or
    its cost is not known."""
    estimated, cost = receipt.quality.get(result.model), receipt.cost.get(result.model)
    if result.score is None or estimated is None or cost is None or receipt.index != scorer.index:
        return None
    charged = known_cost(result, scorer.catalog)
    if charged is None:
        return None
    return Outcome(model=result.model, score=result.score - estimated, cost=charged / max(cost, 1))


def long_prompt(content: Content | None) -> dict[str, Any]:
    """Return what a receipt tells of a query whose answer will teach how many bytes are a token, or
    how many tokens images take."""
    if content is None or content.audio:
        return {}
    if content.images:
        return {"prompt_bytes": content.size, "images": content.images}
    if content.size < LONG:
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
