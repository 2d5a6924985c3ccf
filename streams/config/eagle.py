"""The section [policy.eagle]."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from router.policies.elo import PUBLISHED, EloSettings
from streams.config.connection import Section
from streams.config.limits import to_nano


class EagleSettings(Section, frozen=True, kw_only=True):
    """The policy `eagle`. part: of the global rating in a score; neighbours: the nearest queries
    that make a local rating; k: the most that one game moves a rating; query_budget: what an answer
    may cost, units of currency; the money left over the arrivals to come where it is left out.
    """

    part: Annotated[float, Meta(ge=0, le=1)] = PUBLISHED.part
    neighbours: Annotated[int, Meta(ge=1, le=1000)] = PUBLISHED.neighbours
    k: Annotated[float, Meta(gt=0, le=1000)] = PUBLISHED.k
    query_budget: Decimal | None = None

    def __post_init__(self) -> None:
        self.budget()

    def budget(self) -> float | None:
        """What an answer may cost, nano-units."""
        if self.query_budget is None:
            return None
        return float(to_nano("query_budget", self.query_budget))

    def elo(self) -> EloSettings:
        """The settings of ratings."""
        return EloSettings(self.part, self.neighbours, self.k)
