"""How far a partition has come: the counts of its state record, while they are in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from router.budget.ledger import Accounts
from streams.state.rows import Log, Position, State


@dataclass(slots=True)
class Progress:
    """The mutable counterpart of `State`, without accounts. See there for the fields."""

    positions: dict[Log, Position]
    retried: dict[Log, int]
    settled: int
    arrivals: int
    sequence: int
    granted: int
    control_version: int
    unpublished_expirations: list[str]
    topics: dict[str, str]
    partitions: int

    @classmethod
    def of(cls, state: State) -> Self:
        """Take over the counts of a state record."""
        return cls(
            positions={"queries": state.queries, "deferred": state.deferred},
            retried={"queries": -1, "deferred": -1, **state.retried},
            settled=state.settled,
            arrivals=state.arrivals,
            sequence=state.sequence,
            granted=state.granted,
            control_version=state.control,
            unpublished_expirations=list(state.unpublished_expirations),
            topics=dict(state.topics),
            partitions=state.partitions,
        )

    def advance_retried(self, offsets: Mapping[Log, int]) -> None:
        """Record the last offsets whose deferred queries have been retried; none falls back."""
        for log, offset in offsets.items():
            self.retried[log] = max(self.retried[log], offset)

    def to_state(self, accounts: Accounts, recent: int, removed: list[str]) -> State:
        """Make the state record of a commit.

        Args:
            accounts: The ledger's accounts by name.
            recent: Number of ids that have been remembered.
            removed: Keys of rows that this commit ends.
        """
        return State(
            queries=self.positions["queries"],
            deferred=self.positions["deferred"],
            retried=dict(self.retried),
            settled=self.settled,
            arrivals=self.arrivals,
            sequence=self.sequence,
            granted=self.granted,
            control=self.control_version,
            recent=recent,
            accounts=accounts,
            removed=removed,
            unpublished_expirations=self.unpublished_expirations,
            topics=self.topics,
            partitions=self.partitions,
        )
