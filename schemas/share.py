"""Topics `share-reports` and `share-grants`: how budgets move between partitions.

An account is named by its model, or by model and tenant with a tab between them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from schemas.content import TextKind
from schemas.fields import Count, Name, Nano, Score
from schemas.invalid import wrong
from schemas.wire import Versioned

Partition = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class ShareUse(Struct, frozen=True, kw_only=True):
    """One account on one partition.

    Attributes:
        share: Nano-units of each window's limit that the partition owns.
        reserved: Nano-units reserved in the current window.
        spent: Nano-units spent in the current window.
        wanted: Sum of the reservations that did not fit since the last report, nano-units.
        smallest: The least of these, nano-units.
        window: Unix second at which the current window begins; 0 for none.
        carried: Nano-units that the previous window left over.
    """

    share: Nano
    reserved: Nano
    spent: Nano
    wanted: Nano = 0
    smallest: Nano = 0
    window: Count = 0
    carried: Nano = 0


class Game(Struct, frozen=True, kw_only=True):
    """How one answer did against other models.

    Attributes:
        model: That has answered.
        results: By other model: 1 for a better answer, 0.5 for one as good, 0 for a worse one, or a
            mean of these.
    """

    model: Name
    results: dict[Name, Score]


class TokenUse(Struct, frozen=True, kw_only=True):
    """How many tokens a model's server has counted in a prompt.

    Attributes:
        model: That has answered, or has refused the prompt as too long.
        text: What most of the prompt is.
        size: Its bytes.
        tokens: As counted, or the least that are refused.
    """

    model: Name
    text: TextKind
    size: Annotated[int, Meta(ge=1)]
    tokens: Annotated[int, Meta(ge=1)]


class ImageUse(Struct, frozen=True, kw_only=True):
    """How many prompt tokens images took that took more than was reserved for them.

    Attributes:
        model: That has answered.
        declared: Tokens that it declares for an image.
        tokens: That each took.
    """

    model: Name
    declared: Count
    tokens: Annotated[int, Meta(ge=1)]


class Outcome(Struct, frozen=True, kw_only=True):
    """A judged answer beside what was estimated of it.

    Attributes:
        model: That has answered.
        score: Its score less the estimate on the receipt.
        cost: Its cost over the estimate on the receipt.
    """

    model: Name
    score: float
    cost: Annotated[float, Meta(ge=0)]


class ShareReport(Versioned, frozen=True, kw_only=True):
    """Usage of a partition's shares, and a sample of its estimates.

    Attributes:
        partition: The partition.
        sequence: Rises with each change of the changelog that the report is based on.
        arrivals: Queries since the start.
        models: Usage by account.
        granted: Sequence of the last grant that is in the changelog.
        columns: Models of the columns of `quality` and `cost`.
        quality: Estimated scores, one row per sampled query.
        cost: Estimated nano-units, one row per sampled query.
        waiting: Queries that wait in `deferred`.
        tokens: Estimated tokens, one row per sampled query, where a limit counts them.
        tenants: Of the sampled queries, "" for none, where a limit tells them apart.
        floors: Names of the sampled queries' quality floors, where the policy keeps any.
        games: Of answers that have been settled, where the policy learns from them.
        token_uses: Of long prompts whose answers have been settled.
        image_uses: Of images that took more tokens than were reserved for them.
        outcomes: Judged answers that have been settled, where the policy corrects estimates.
        in_flight: Queries that wait for a result, by pool as `model.pool`; 0 left out.
    """

    partition: Partition
    sequence: Count
    arrivals: Count
    models: dict[str, ShareUse]
    granted: Count = 0
    columns: list[Name] = field(default_factory=list)
    quality: list[list[float]] = field(default_factory=list)
    cost: list[list[float]] = field(default_factory=list)
    waiting: Count = 0
    tokens: list[list[float]] = field(default_factory=list)
    tenants: list[str] = field(default_factory=list)
    floors: list[str] = field(default_factory=list)
    games: list[Game] = field(default_factory=list)
    token_uses: list[TokenUse] = field(default_factory=list)
    image_uses: list[ImageUse] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    in_flight: dict[str, Count] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        width = len(self.columns)
        tables = (("quality", self.quality), ("cost", self.cost), ("tokens", self.tokens))
        for name, rows in tables:
            if any(len(row) != width for row in rows):
                raise wrong(name, rows, f"each row must hold {width} numbers, one for each column")
        if len(self.quality) != len(self.cost):
            raise wrong("cost", self.cost, f"it must have {len(self.quality)} rows, as quality has")
        for name, others in (
            ("tokens", self.tokens),
            ("tenants", self.tenants),
            ("floors", self.floors),
        ):
            if others and len(others) != len(self.quality):
                raise wrong(name, others, f"it must have {len(self.quality)} rows, as quality has")


class ShareGrant(Versioned, frozen=True, kw_only=True):
    """The shares that a partition owns from now on.

    Attributes:
        partition: The partition.
        sequence: Rises; a grant that is not above the last one applied is ignored.
        models: Nano-units by account.
        windows: Unix second of the window to reach before applying, by account; 0 left out.
    """

    partition: Partition
    sequence: Count
    models: dict[str, Nano]
    windows: dict[str, Count] = field(default_factory=dict)
