"""Topic `receipts`: one decision, with all that is needed to take it again or to judge it."""

from __future__ import annotations

import math
from typing import Literal

from msgspec import field

from schemas.content import TextKind
from schemas.fields import Count, Id, Name, Nano, Score, Source, Tokens, Unit, UnixTime
from schemas.invalid import wrong
from schemas.wire import Versioned

Decision = Literal["routed", "deferred", "rejected", "duplicate"]
Bound = Literal["query", "max", "quantile"]


class Receipt(Versioned, frozen=True, kw_only=True):
    """One decision, with all that is needed to re-execute or to judge it.

    Attributes:
        id: The query's id.
        decision_id: The same whenever the query is delivered again.
        decision: What happens to the query.
        reason: One of the policy's reasons, or a rejection code.
        policy: The policy that decided.
        source: The query's own record.
        decided_at: Unix seconds.
        model: The chosen model.
        pool: The pool of its servers, where it has pools.
        price_version: Version of the prices; 0 are made from the history.
        control_version: Offset after the last record of `control` that was known.
        index: Version of the index that the estimates come from.
        quality: Estimated score by model, 0 to 1.
        cost: Estimated nano-units by model.
        reserved: Nano-units reserved.
        tenant: In whose account the same is reserved; none without a limit there.
        limits: Accounts that hold the reservation, by unit; where left out, that of the model and,
            with a tenant, that tenant's for the model.
        windows: With `limits`, Unix second at which each account's window begins; 0 left out.
        reserved_tokens: Tokens reserved in the accounts that count tokens.
        short_of: Accounts that had no room for the model that would have been chosen.
        floor: Mean score that answers to such queries are to reach (policy `quality-floor`).
        gave_way: What gave way where a limit had no room for the model that the floor asks for: the
            floor, to a model of lower estimated score, or the query, which waits.
        bound: What set the reserved output tokens: the query, the model or a quantile.
        max_tokens: Output tokens that are reserved for.
        neighbours: Ids of the most similar queries of the history.
        propensity: Probability with which the policy decides so.
        excluded: Models that cannot take what the query holds, with the reason; empty for none.
        tried: Models whose calls for the query have failed before, in order (failover).
        results_offset: Results of the same partition that were settled before.
        prompt_bytes: Bytes of a long prompt of nothing but text: the tokens that its answer's usage
            tells of teach how many bytes are a token. Of a prompt with images the bytes of its
            text, to teach how many tokens these take.
        text: What most of that prompt is; none with images.
        images: Images of a prompt without audio.
    """

    id: Id
    decision_id: Id
    decision: Decision
    reason: str
    policy: Name
    source: Source
    decided_at: UnixTime
    model: Name | None = None
    price_version: Count = 0
    control_version: Count = 0
    index: Name | None = None
    quality: dict[str, float] = field(default_factory=dict)
    cost: dict[str, Nano] = field(default_factory=dict)
    reserved: Nano = 0
    tenant: Name | None = None
    limits: dict[Unit, list[str]] = field(default_factory=dict)
    windows: dict[str, Count] = field(default_factory=dict)
    reserved_tokens: Count = 0
    short_of: list[str] = field(default_factory=list)
    floor: Score | None = None
    gave_way: Literal["floor", "query"] | None = None
    bound: Bound | None = None
    max_tokens: Tokens | None = None
    neighbours: list[str] = field(default_factory=list)
    propensity: Score = 1.0
    excluded: dict[str, str] = field(default_factory=dict)
    tried: list[Name] = field(default_factory=list)
    results_offset: Count = 0
    pool: Name | None = None
    prompt_bytes: Count = 0
    text: TextKind | None = None
    images: Count = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, estimate in self.quality.items():
            if not math.isfinite(estimate):
                raise wrong(f"quality.{name}", estimate, "it must be a finite number")
