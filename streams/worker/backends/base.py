"""The interface of backends, and the results they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from schemas.result import Failure, Result
from schemas.route import Routed

DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
"""The deadline passed before there was an answer (HTTP status 504)."""
INFERENCE_ERROR = "INFERENCE_ERROR"
"""The model, or the connection to it, failed; the same query may succeed later."""
INVALID_REQUEST = "INVALID_REQUEST"
"""The model refused the query, and would refuse it again."""


class BackendBroken(RuntimeError):
    """No query can be answered until an operator intervenes. Says what is wrong."""


class Backend(ABC):
    """Answers routed queries for one model, many at a time, on one event loop.

    A failure of a query or of the model is an answer too: a Result with an error. An exception
    from `answer` (BackendBroken above all) ends the worker, and the query stays uncommitted.

    The answer honours `routed.max_tokens`, and so costs at most `routed.reserved`. Its `cost` is
    0 where certainly nothing was charged, and the whole reservation where it is unknown (a call
    that timed out, an answer without usage), so that limits hold in doubt too.
    """

    @abstractmethod
    async def answer(self, routed: Routed) -> Result:
        """Call the model. Calls run concurrently, and may be cancelled."""

    async def close(self) -> None:  # noqa: B027
        """Release connections. Called when no call is running any more."""


def failed(
    routed: Routed,
    status_code: int,
    code: str,
    message: str,
    cost: int = 0,
    attempts: int = 1,
    duration: float | None = None,
) -> Result:
    """Make the result of a query that has no answer.

    Args:
        routed: the query.
        status_code: as HTTP has it.
        code: one of the codes above, for programs.
        message: a sentence for people.
        cost: nano-units that were, or may have been, charged.
        attempts: calls that were made.
        duration: seconds.
    """
    return Result(
        id=routed.id,
        decision_id=routed.decision_id,
        model=routed.model,
        status_code=status_code,
        error=Failure(code=code, message=message),
        cost=cost,
        attempts=attempts,
        duration=duration,
    )


def succeeded(routed: Routed, **fields: Any) -> Result:
    """Make the result of a query that was answered; fields: the others of `Result`."""
    return Result(
        id=routed.id,
        decision_id=routed.decision_id,
        model=routed.model,
        status_code=200,
        **fields,
    )
