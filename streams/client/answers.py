"""What comes back for a query: the answer, or the error that stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.budget.charges import believed_cost
from router.models.catalog import ModelCatalog
from schemas.answer_text import answer_texts
from schemas.rejected import Rejected
from schemas.result import DUPLICATE, FAILED, Result
from streams.client.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    ModelFailed,
    QueryError,
    QueryRejected,
)

_REJECTIONS: Mapping[str, type[QueryError]] = {
    "deadline_exceeded": DeadlineExceeded,
    "budget_exceeded": BudgetExceeded,
}
TOO_LATE = "DEADLINE_EXCEEDED"
"""A worker's code for a deadline that passed before there was an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answered query.

    Attributes:
        id: The query's id.
        model: The model that answered.
        decision_id: Names the decision, for `sluice explain` and the audit.
        cost: Nano-units charged; None where neither the result nor known prices say it.
        response: What the model said, as its worker gave it: of ours, an OpenAI chat completion.
        result: The whole message.
    """

    id: str
    model: str
    decision_id: str
    cost: int | None
    response: Any
    result: Result

    @property
    def text(self) -> str:
        """The words of the first choice, whatever form the response has; "" where it has none."""
        return answer_texts(self.response)[0]


Ending = Answer | QueryError
"""How a query ends."""


def charged(result: Result, catalog: ModelCatalog) -> int | None:
    """Return nano-units that a result is charged; None where nothing here says it."""
    return believed_cost(result, catalog) if result.model in catalog.index else result.cost


def of_result(result: Result, catalog: ModelCatalog) -> Answer | QueryError:
    """Return the answer that a result holds, or the error that it stands for."""
    cost = charged(result, catalog)
    if result.status_code < FAILED:
        return Answer(result.id, result.model, result.decision_id, cost, result.response, result)
    code = result.error.code if result.error else "INFERENCE_ERROR"
    reason = result.error.message if result.error else f"status {result.status_code}"
    if code == TOO_LATE:
        return DeadlineExceeded(result.id, "deadline_exceeded", reason, cost=cost or 0)
    if code == DUPLICATE:
        return QueryRejected(result.id, "duplicate", reason, "id")
    words = f"{result.model}: {reason}"
    return ModelFailed(result.id, code, words, result.status_code, cost or 0)


def of_rejection(rejected: Rejected, deferred: bool) -> QueryError:
    """Return the error that a rejection stands for.

    Args:
        rejected: The message.
        deferred: Whether the query was rejected while it waited for money: that its deadline has
            passed means then that no budget held it.
    """
    id = rejected.id or ""
    if rejected.code == "deadline_exceeded" and deferred:
        return waited(id)
    kind = _REJECTIONS.get(rejected.code, QueryRejected)
    return kind(id, rejected.code, rejected.reason, rejected.field)


def waited(id: str) -> BudgetExceeded:
    """The error for a query that was deferred until nobody waited any more."""
    reason = "no budget could hold it, or no model was worth its price, before its deadline"
    return BudgetExceeded(id, "budget_exceeded", reason)
