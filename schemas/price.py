"""Topic `prices`: what a policy has learned, for every router to follow."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from schemas.fields import Count, Name, SignedNano, UnixTime
from schemas.wire import Versioned


class Prices(Versioned, frozen=True, kw_only=True):
    """One version of a policy's state.

    Attributes:
        policy: The policy.
        version: Rises by one with each record.
        state: The policy's `snapshot()`.
        solved_at: Unix seconds.
        expected: Arrivals that were still expected.
        remaining: What is neither spent nor reserved of each limit, in its unit (money in
            nano-units).
        arrivals: Queries that were expected to share it, by limit.
    """

    policy: Name
    version: Count
    state: dict[str, Any]
    solved_at: UnixTime
    expected: Annotated[float, Meta(ge=0)] = 0.0
    remaining: dict[str, SignedNano] = field(default_factory=dict)
    arrivals: dict[str, float] = field(default_factory=dict)
