"""Topic `prices`: what a policy has learned, for every router to follow."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from schemas.fields import Count, Name, SignedNano, UnixTime
from schemas.wire import Versioned

Ratio = Annotated[float, Meta(ge=1, le=1000)]


class TokenRatio(Struct, frozen=True, kw_only=True):
    """How many bytes of a category of text are a token.

    Attributes:
        mean: Of the answers' usage, newer answers weighing more.
        conservative: A ratio that follows low observations at once, and high ones slowly.
        variance: Of the observations, weighed as the mean.
        count: Observations.
    """

    mean: Ratio
    conservative: Ratio
    variance: Annotated[float, Meta(ge=0)] = 0.0
    count: Count = 1


class ImageTokens(Struct, frozen=True, kw_only=True):
    """How many prompt tokens an image has taken at most, where that is more than is declared.

    Attributes:
        declared: The model's `image_tokens` at that time; this counts only as long as it is that.
        tokens: Reserved for each image instead.
    """

    declared: Count
    tokens: Count


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
        token_ratios: Bytes per prompt token, by model and kind of text with a tab between them.
        image_tokens: Prompt tokens of an image, of models that take more than they declare.
        busy_pools: Pools from which queries spill to longer ones, as `model.pool`.
    """

    policy: Name
    version: Count
    state: dict[str, Any]
    solved_at: UnixTime
    expected: Annotated[float, Meta(ge=0)] = 0.0
    remaining: dict[str, SignedNano] = field(default_factory=dict)
    arrivals: dict[str, float] = field(default_factory=dict)
    token_ratios: dict[str, TokenRatio] = field(default_factory=dict)
    image_tokens: dict[str, ImageTokens] = field(default_factory=dict)
    busy_pools: list[str] = field(default_factory=list)
