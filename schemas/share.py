"""Topics `share-reports` and `share-grants`: how budgets move between partitions.

An account is named by its model, or by model and tenant with a tab between them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from schemas.fields import Count, Name, Nano
from schemas.invalid import wrong
from schemas.wire import Message

Partition = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class ShareUse(Struct, frozen=True, kw_only=True):
    """One account on one partition, nano-units.

    share: what it owns of each window's limit; reserved, spent: what of it is held and gone in
    the current window; wanted: the sum of the reservations that it could not take since the last
    report; smallest: the least of them; window: Unix second at which the current window begins,
    0 for none; carried: what the window before left over.
    """

    share: Nano
    reserved: Nano
    spent: Nano
    wanted: Nano = 0
    smallest: Nano = 0
    window: Count = 0
    carried: Nano = 0


class ShareReport(Message, frozen=True, kw_only=True):
    """What a partition used, and a sample of what arrived.

    sequence: rises with each change of the partition's changelog, and all that is told here is
    in there; granted: sequence of the last grant that is; arrivals: queries since the start;
    columns: the models that each row of `quality` (scores) and `cost` (nano-units) stands for,
    one row a sampled query.
    """

    partition: Partition
    sequence: Count
    arrivals: Count
    models: dict[str, ShareUse]
    granted: Count = 0
    columns: list[Name] = field(default_factory=list)
    quality: list[list[float]] = field(default_factory=list)
    cost: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        width = len(self.columns)
        for name, rows in (("quality", self.quality), ("cost", self.cost)):
            if any(len(row) != width for row in rows):
                raise wrong(name, rows, f"each row must hold {width} numbers, one for each column")
        if len(self.quality) != len(self.cost):
            raise wrong("cost", self.cost, f"it must have {len(self.quality)} rows, as quality has")


class ShareGrant(Message, frozen=True, kw_only=True):
    """The shares that a partition owns from now on, nano-units by account.

    sequence: rises, and what is not above the last one applied is passed over; windows: by
    account, the window that the partition must have reached before it takes the share: the Unix
    second at which it begins, left out where it is 0.
    """

    partition: Partition
    sequence: Count
    models: dict[str, Nano]
    windows: dict[str, Count] = field(default_factory=dict)
