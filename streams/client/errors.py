"""Why a query got no answer: one class for each thing that a program may want to do about it."""

from __future__ import annotations

from streams.kafka.errors import BrokerError


class ClientError(BrokerError):
    """The broker cannot be used: topics are missing, or it does not acknowledge."""


class QueryError(Exception):
    """A query that ended without an answer.

    Attributes:
        id: The query's id.
        code: For programs: a rejection's code, or the code of a failed result.
        reason: A sentence for people.
        field: Path of the field that is wrong, where there is one.
        cost: Nano-units that were charged all the same.
    """

    def __init__(
        self, id: str, code: str, reason: str, field: str | None = None, cost: int = 0
    ) -> None:
        super().__init__(f"query {id}: {reason}")
        self.id = id
        self.code = code
        self.reason = reason
        self.field = field
        self.cost = cost


class QueryRejected(QueryError):
    """The query breaks a rule; it would be refused again."""


class BudgetExceeded(QueryError):
    """No budget held the query, or no model was worth its price, for as long as it could wait."""


class GivenUp(QueryError):
    """Nobody waits for the answer any more. It may come all the same, and be charged."""


class DeadlineExceeded(QueryError):
    """The deadline passed before there was an answer."""


class ModelFailed(QueryError):
    """The model was asked, and failed or refused. status: as HTTP has it."""

    def __init__(self, id: str, code: str, reason: str, status: int, cost: int = 0) -> None:
        super().__init__(id, code, reason, cost=cost)
        self.status = status
