"""Topic `receipts`: one decision, with all that is needed to take it again or to judge it."""

from __future__ import annotations

import math
from typing import Literal

from msgspec import field

from schemas.fields import Count, Id, Name, Nano, Score, Source, Tokens, UnixTime
from schemas.invalid import wrong
from schemas.wire import Message

Decision = Literal["routed", "deferred", "rejected", "duplicate"]
Bound = Literal["query", "max", "quantile"]


class Receipt(Message, frozen=True, kw_only=True):
    """One decision.

    reason: a word of the policy's reasons or of the rejection codes; quality: estimated score of
    each model; cost: estimated nano-units of each; reserved: nano-units held; tenant: in whose
    account for the model the same is held, none where it has no limit there; bound: what set the
    output tokens that were reserved (the query's own limit, the model's, or a quantile of its
    neighbours); neighbours: ids of the history it was estimated from; propensity: the chance with
    which this policy decides so; control_version: the offset after the last message of `control`
    that had been followed (their number, where none has been compacted away); index: version of
    the index that the estimates come from; source: the query's record; results_offset: results of
    the same partition that had been settled before; decided_at: Unix seconds.
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
    bound: Bound | None = None
    max_tokens: Tokens | None = None
    neighbours: list[str] = field(default_factory=list)
    propensity: Score = 1.0
    results_offset: Count = 0

    def __post_init__(self) -> None:
        for name, estimate in self.quality.items():
            if not math.isfinite(estimate):
                raise wrong(f"quality.{name}", estimate, "it must be a finite number")
