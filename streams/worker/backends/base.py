"""The interface of backends, and the results they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from schemas.result import DEADLINE_EXCEEDED as DEADLINE_EXCEEDED
from schemas.result import Failure, Result
from schemas.route import Routed

INFERENCE_ERROR = "INFERENCE_ERROR"
"""The model, or the connection to it, failed; the same query may succeed later."""
INVALID_REQUEST = "INVALID_REQUEST"
"""The model refused the query, and would refuse it again."""


class BackendUnavailable(Exception):
    """The server takes no calls at the moment, and this one has certainly cost nothing.

    The worker keeps the query, and makes no other call before `retry_after` has passed.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        """Args:
        reason: a few words for the log.
        retry_after: seconds that the server asks to wait; None where it does not say.
        """
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Backend(ABC):
    """Answers routed queries for one model, many at a time, on one event loop.

    A failure of a query or of the model is an answer too: a Result with an error. A server that
    takes no calls at the moment is told by BackendUnavailable, and the query is asked again. Any
    other exception from `answer` ends the worker, and the query stays uncommitted.

    The answer honours `routed.max_tokens`, and so costs at most `routed.reserved`. Its `cost` is
    0 where certainly nothing was charged. Where it is not known (a call that timed out, an answer
    without usage) it is what was reserved, marked as `estimated`, so that limits hold in doubt too.
    No call starts after `routed.start_by`, and none lasts beyond `routed.deadline`.
    """

    @abstractmethod
    async def answer(self, routed: Routed) -> Result:
        """Call the model. Calls run concurrently, and may be cancelled.

        Raises:
            BackendUnavailable: The server takes no calls at the moment.
        """

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
        cost: nano-units that may have been charged: an estimate, unless 0.
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
        estimated=cost > 0,
        attempts=attempts,
        duration=duration,
        pool=routed.pool,
    )


def succeeded(routed: Routed, **fields: Any) -> Result:
    """Make the result of a query that was answered; fields: the others of `Result`."""
    return Result(
        id=routed.id,
        decision_id=routed.decision_id,
        model=routed.model,
        status_code=200,
        pool=routed.pool,
        **fields,
    )
