"""What every backend promises."""

from __future__ import annotations

from abc import ABC, abstractmethod

from schemas.result import Failure, Result
from schemas.route import Routed

DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
"""The deadline passed before there was an answer (HTTP status 504)."""
INFERENCE_ERROR = "INFERENCE_ERROR"
"""The model, or the way to it, failed; the same query may succeed later."""
INVALID_REQUEST = "INVALID_REQUEST"
"""The model refused the query; it would refuse it again."""


class BackendBroken(RuntimeError):
    """No query can be answered until somebody has mended something. Says what."""


class Backend(ABC):
    """Answers routed queries for one model, many at a time, on one event loop.

    What goes wrong with a query or with the model is an answer too: a Result with an error.
    An exception from `answer` (BackendBroken above all) is nobody's answer, and ends the worker.

    The answer honours `routed.max_tokens`, and so costs at most `routed.reserved`. Its `cost` is
    0 where it is certain that nothing was charged, and the whole reservation where nobody can
    tell (a call that timed out, an answer without usage): limits stay hard on uncertain ground.
    """

    @abstractmethod
    async def answer(self, routed: Routed) -> Result:
        """Ask the model. May be called again while earlier calls still run, and be cancelled."""

    async def close(self) -> None:  # noqa: B027
        """Release connections. No call is running any more."""


def failed(
    routed: Routed,
    status_code: int,
    code: str,
    message: str,
    cost: int = 0,
    attempts: int = 1,
    duration: float | None = None,
) -> Result:
    """The result for a query that has no answer."""
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
