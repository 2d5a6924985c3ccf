"""How one account's limit is divided: shares follow need, and few of them move.

A partition's aim is what it has drawn, what its smallest refused query lacks, and a part of the
rest: IDLE of the rest goes in equal parts to all, so that a partition without traffic can serve
its first query at once; the other follows demand. As the rest goes to nothing, so do the parts of
the idle ones.
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
class Claim:
    """One partition's standing with one account, nano-units.

    share: its last confirmed share; bound: the most it may own; coming: the share of a grant that
    is under way, None where nothing is; heard: whether the rest is known; used: spent and reserved
    in the current window, of the share and of what was carried over; smallest: the smallest
    reservation it could not take, 0 where it took all; demand: any scale, the same for all.
    """

    share: int
    bound: int
    coming: int | None
    heard: bool
    used: int
    carried: int
    smallest: int
    demand: float

    @property
    def drawn(self) -> int:
        """What is gone or held of the share itself."""
        return max(self.used - self.carried, 0)

    @property
    def least(self) -> int:
        """The share that its smallest refused query takes beside what is drawn; 0 for none."""
        return max(self.smallest + self.used - self.carried, 0) if self.smallest else 0


def divide(limit: int, claims: Sequence[Claim], turn: int = 0) -> dict[int, int]:
    """Return the shares to be granted, by the position of their claim.

    What is given is free now: the sum of bounds and growth stays within the limit. turn: where to
    begin among those whose queries wait, when there is not enough for all of them.
    """
    free = limit - sum(claim.bound for claim in claims)
    aims, waiting = _aims(limit, claims, turn)
    movable = [i for i, claim in enumerate(claims) if claim.heard and claim.coming is None]
    gap = {i: aims[i] - claims[i].share for i in movable}
    slack = {i: max((aims[i] - claims[i].drawn) // SLACK, limit // GRAIN) for i in movable}
    urgent = [i for i in waiting if i in gap and gap[i] > 0 and claims[i].share < claims[i].least]
    growing = urgent + [i for i in movable if i not in urgent and gap[i] > slack[i]]
    # What grants under way will free is as good as there.
    coming = sum(max(c.bound - max(c.coming, c.drawn), 0) for c in claims if c.coming is not None)
    short = sum(gap[i] for i in growing) - free - coming
    pressing = free < 0 or sum(gap[i] for i in urgent) > free + coming
    shares: dict[int, int] = {}
    for i in sorted(movable, key=gap.__getitem__):
        if short > 0 and gap[i] < (0 if pressing else -slack[i]):
            shares[i] = aims[i]
            short += gap[i]
    for i in growing:
        given = min(gap[i], free)
        enough = claims[i].least - claims[i].share if i in urgent else slack[i]
        if given > 0 and given >= enough:
            shares[i] = claims[i].share + given
            free -= given
    return shares


def _aims(limit: int, claims: Sequence[Claim], turn: int) -> tuple[list[int], list[int]]:
    """Return what every share should be, and the positions of those whose queries are helped."""
    aims = [claim.drawn if claim.heard else claim.bound for claim in claims]
    rest = max(limit - sum(aims), 0)
    waiting = []
    for i in sorted(range(len(claims)), key=lambda i: (i - turn) % len(claims)):
        lack = claims[i].least - aims[i]
        if claims[i].heard and 0 < lack <= rest:
            waiting.append(i)
            aims[i] += lack
            rest -= lack
    heard = [i for i, claim in enumerate(claims) if claim.heard]
    weights = _weights([claims[i].demand for i in heard])
    parts = [rest * weight // sum(weights) for weight in weights]
    for i, part in zip(heard, parts, strict=True):
        aims[i] += part
    if heard:  # what rounding leaves goes where most is needed
        aims[heard[weights.index(max(weights))]] += rest - sum(parts)
    return aims, waiting


def _weights(demands: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to what each should have of the rest."""
    total = sum(demands)
    if total <= 0:
        return [_UNIT] * len(demands)
    by_demand = (1 - IDLE) / IDLE * len(demands) * _UNIT
    return [_UNIT + int(by_demand * (demand / total)) for demand in demands]
