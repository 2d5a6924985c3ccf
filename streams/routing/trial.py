"""Decisions on trial: what a partition would decide now, without deciding it."""

from __future__ import annotations

from collections.abc import Mapping

from router.arrays import Ints
from router.budget.ledger import Ledger
from streams.routing.decide import DecisionState
from streams.state.recent_ids import RecentIds
from streams.state.rows import Log


class Trial:
    """A `DecisionState` over another one, which it leaves as it is.

    Reservations are not made, so only the first decision that would need one is as it would be
    taken: enough to tell whether there is any.

    Attributes:
        unmet: Accounts that had no room, each with the reservation in nano-units.
    """

    def __init__(self, state: DecisionState) -> None:
        """Args:
        state: What the decisions depend on; read only.
        """
        self._state = state
        self.unmet: list[tuple[int, int]] = []

    @property
    def ledger(self) -> Ledger:
        """The accounts of the state."""
        return self._state.ledger

    @property
    def recent(self) -> RecentIds:
        """Ids of queries that were decided before."""
        return self._state.recent

    @property
    def retried(self) -> Mapping[Log, int]:
        """Of each log, the last offset whose deferred query has been retried."""
        return self._state.retried

    @property
    def settled(self) -> int:
        """Last offset of `results` that has been settled."""
        return self._state.settled

    def reserve(self, accounts: Ints, amounts: Ints) -> None:
        """Do nothing."""

    def record_unmet(self, account: int, amount: int) -> None:
        """Keep it in `unmet`."""
        self.unmet.append((account, amount))

    def record_retried(self, offsets: Mapping[Log, int]) -> None:
        """Do nothing."""

    def is_failover(self, decision_id: str) -> bool:
        """Return whether the query of a failed decision waits to be decided again."""
        return self._state.is_failover(decision_id)

    def end_failover(self, decision_id: str) -> None:
        """Do nothing."""
