"""Allocates one account's limit to partitions: shares follow need, and few of them move.

A partition's target is what it has drawn, what its smallest refused query lacks, and a part of the
remainder: the part `IDLE` of the remainder is divided equally, so that a partition without traffic
can serve its first query at once; the rest follows demand. As the remainder goes to 0, so do the
shares of idle partitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

IDLE = 0.1
"""Part of the remaining money that is shared out equally, whatever the demand."""
SLACK = 4
"""A share moves when it is off by more than this part (1/4) of what it should have left."""
GRAIN = 10_000
"""A share does not move for less than this part (1/10,000) of the limit, unless a query waits."""
_UNIT = 2**20


@dataclass(frozen=True, slots=True)
class PartitionDemand:
    """One partition's standing with one account. All amounts are nano-units.

    Attributes:
        share: The last share that the partition confirmed.
        bound: The most that the partition may believe it owns.
        pending: The share of a grant that is under way; None where there is none.
        reported: Whether the partition has reported; if not, the fields below are unknown.
        used: Spent and reserved in the current window, of the share and of what was carried over.
        carried: What was carried over from the window before.
        smallest: The smallest reservation that it could not take; 0 where it took all.
        weight: Recent demand, in any unit that is the same for all partitions.
    """

    share: int
    bound: int
    pending: int | None
    reported: bool
    used: int
    carried: int
    smallest: int
    weight: float

    @property
    def drawn(self) -> int:
        """Nano-units of the share itself that are spent or reserved."""
        return max(self.used - self.carried, 0)

    @property
    def least(self) -> int:
        """The share at which its smallest refused query fits; 0 where none was refused."""
        return max(self.smallest + self.used - self.carried, 0) if self.smallest else 0


def allocate(limit: int, demands: Sequence[PartitionDemand], turn: int = 0) -> dict[int, int]:
    """Decide which partitions get a new share, and how large it is.

    Only money that is free now is given: the sum of all bounds and of all growth stays within the
    limit.

    Args:
        limit: The account's limit, nano-units.
        demands: The standing of every partition.
        turn: Position to begin at among the partitions whose queries wait, when there is not
            enough for all of them.

    Returns:
        The new shares, nano-units, by position in `demands`; partitions that keep theirs are left
        out.
    """
    free = limit - sum(demand.bound for demand in demands)
    targets, waiting = _targets(limit, demands, turn)
    movable = [i for i, demand in enumerate(demands) if demand.reported and demand.pending is None]
    gap = {i: targets[i] - demands[i].share for i in movable}
    slack = {i: max((targets[i] - demands[i].drawn) // SLACK, limit // GRAIN) for i in movable}
    urgent = [i for i in waiting if i in gap and gap[i] > 0 and demands[i].share < demands[i].least]
    growing = urgent + [i for i in movable if i not in urgent and gap[i] > slack[i]]
    # What grants under way will free is as good as there.
    freed = sum(
        max(demand.bound - max(demand.pending, demand.drawn), 0)
        for demand in demands
        if demand.pending is not None
    )
    short = sum(gap[i] for i in growing) - free - freed
    pressing = free < 0 or sum(gap[i] for i in urgent) > free + freed
    shares: dict[int, int] = {}
    for i in sorted(movable, key=gap.__getitem__):
        if short > 0 and gap[i] < (0 if pressing else -slack[i]):
            shares[i] = targets[i]
            short += gap[i]
    for i in growing:
        given = min(gap[i], free)
        enough = demands[i].least - demands[i].share if i in urgent else slack[i]
        if given > 0 and given >= enough:
            shares[i] = demands[i].share + given
            free -= given
    return shares


def _targets(
    limit: int, demands: Sequence[PartitionDemand], turn: int
) -> tuple[list[int], list[int]]:
    """Return every partition's target share, and the positions whose waiting queries it serves."""
    targets = [demand.drawn if demand.reported else demand.bound for demand in demands]
    rest = max(limit - sum(targets), 0)
    waiting = []
    for i in sorted(range(len(demands)), key=lambda i: (i - turn) % len(demands)):
        lack = demands[i].least - targets[i]
        if demands[i].reported and 0 < lack <= rest:
            waiting.append(i)
            targets[i] += lack
            rest -= lack
    reported = [i for i, demand in enumerate(demands) if demand.reported]
    weights = _weights([demands[i].weight for i in reported])
    parts = [rest * weight // sum(weights) for weight in weights]
    for i, part in zip(reported, parts, strict=True):
        targets[i] += part
    if reported:  # what rounding leaves goes where most is needed
        targets[reported[weights.index(max(weights))]] += rest - sum(parts)
    return targets, waiting


def _weights(demands: Sequence[float]) -> list[int]:
    """Return whole numbers in proportion to each partition's part of the remainder."""
    total = sum(demands)
    if total <= 0:
        return [_UNIT] * len(demands)
    by_demand = (1 - IDLE) / IDLE * len(demands) * _UNIT
    return [_UNIT + int(by_demand * (demand / total)) for demand in demands]
