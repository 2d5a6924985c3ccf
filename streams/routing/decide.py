"""Decides a chunk of arrivals: the policy's choices, as rows to write ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from router.arrays import Bools, Ints
from router.budget.ledger import Ledger
from router.estimation.estimator import Estimates
from router.estimation.scorer import Prepared, QueryScorer
from router.policies.base import NONE, REASONS, Decisions
from schemas import Invalid, Receipt
from streams.kafka.records import ConsumedRecord
from streams.routing.arrivals import (
    Arrival,
    expire,
    mark_duplicates,
    mark_failed_over,
    mark_repeated,
)
from streams.routing.constraints import constraints, excluded, no_model
from streams.routing.decider import Decider
from streams.routing.drawing import Drawing, Held, draw_on
from streams.routing.feedback import long_prompt
from streams.routing.floors import floors_of, on_receipts
from streams.state.recent_ids import RecentIds
from streams.state.rows import Log, Refusal, Row

NEIGHBOURS = 8
"""Neighbours recorded per receipt."""


SHORTEST_CALL = 1.0
"""Seconds that a model needs for an answer, at least: with less left, no call is worth starting."""


class DecisionState(Protocol):
    """What the decisions of a partition depend on and change.

    A live partition implements it, and a replay of its log.
    """

    @property
    def ledger(self) -> Ledger:
        """The accounts; changed by `reserve` only."""
        ...

    @property
    def recent(self) -> RecentIds:
        """Ids of queries that were decided before."""
        ...

    @property
    def retried(self) -> Mapping[Log, int]:
        """Of each log, the last offset whose deferred query has been retried; -1 before."""
        ...

    @property
    def settled(self) -> int:
        """Last offset of `results` that has been settled, -1 before the first."""
        ...

    def reserve(self, accounts: Ints, amounts: Ints) -> None:
        """Reserve money, as `Ledger.reserve`."""
        ...

    def record_unmet(self, account: int, amount: int) -> None:
        """Record that an account had no room for a reservation of `amount` nano-units."""
        ...

    def record_retried(self, offsets: Mapping[Log, int]) -> None:
        """Record the last offsets whose deferred queries have been retried."""
        ...

    def is_failover(self, decision_id: str) -> bool:
        """Return whether the query of a failed decision waits to be decided again."""
        ...

    def end_failover(self, decision_id: str) -> None:
        """Record that the query of a failed decision is decided again."""
        ...


@dataclass(frozen=True, slots=True)
class Candidates:
    """Arrivals that a policy may decide on: `arrivals[i]` is row i of the arrays."""

    arrivals: Sequence[Arrival]
    estimates: Estimates
    scored: Prepared

    def rows(self, rows: slice | Ints) -> Candidates:
        """Return some of them: those of a span, or of int64[m] numbers."""
        numbers = np.arange(len(self.arrivals))[rows].tolist()
        return Candidates(
            [self.arrivals[i] for i in numbers], self.estimates.rows(rows), self.scored.rows(rows)
        )


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """A chunk after the slow part.

    Attributes:
        scorer: What has estimated it.
        arrivals: The records that were not decided before, in order.
        candidates: Those of them that a policy may decide on; None where there are none.
        redelivered: Records that were decided before.
        began, ended: Unix seconds of the slow part.
    """

    scorer: QueryScorer
    arrivals: Sequence[Arrival]
    candidates: Candidates | None = None
    redelivered: Sequence[ConsumedRecord] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0

    def records(self) -> list[ConsumedRecord]:
        """Return all records of the chunk, in order."""
        return [*self.redelivered, *(arrival.record for arrival in self.arrivals)]


@dataclass(frozen=True, slots=True)
class Hold:
    """How long a reservation lasts, and how long a worker may work on it.

    Attributes:
        seconds: From the decision to the release.
        margin: Seconds before the release by which a worker's calls have ended, for clocks that
            differ and results on their way.
    """

    seconds: float
    margin: float = 0.0

    def row(self, receipt: Receipt, window: int) -> Row:
        """Make the row of a reservation."""
        release_at = receipt.decided_at + self.seconds
        end_by = release_at - min(self.margin, self.seconds / 4)
        start_by = end_by - min(SHORTEST_CALL, self.seconds / 4)
        return Row(
            receipt=receipt,
            window=window,
            release_at=release_at,
            start_by=start_by,
            end_by=end_by,
        )


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """What all decisions of a chunk share.

    Attributes:
        decider: What decides.
        log: Whose records are decided.
        now: Unix seconds, which every receipt carries.
        room: Number of queries that may still be deferred.
        hold: How long reservations last.
    """

    decider: Decider
    log: Log
    now: float
    room: int
    hold: Hold = field(default_factory=lambda: Hold(600.0))


def estimate(
    scorer: QueryScorer, arrivals: Sequence[Arrival], redelivered: Sequence[ConsumedRecord] = ()
) -> PreparedChunk:
    """Embed and estimate. Slow, and independent of any partition's state: runs in a thread."""
    good = [arrival for arrival in arrivals if arrival.query is not None]
    if not good:
        return PreparedChunk(scorer, arrivals, redelivered=redelivered)
    queries = [arrival.query for arrival in good if arrival.query is not None]
    contents = [arrival.content for arrival in good if arrival.content is not None]
    _, estimates = scorer.estimate(
        [query.text() for query in queries], [query.embedding for query in queries]
    )
    tried = [arrival.tried for arrival in good]
    scored = scorer.batch(estimates, constraints(scorer, queries, contents, tried))
    return PreparedChunk(scorer, arrivals, Candidates(good, estimates, scored), redelivered)


def estimate_together(
    scorer: QueryScorer,
    chunks: Sequence[tuple[Sequence[Arrival], Sequence[ConsumedRecord]]],
) -> list[PreparedChunk]:
    """Do for several chunks in one call what `estimate` does: (arrivals, redelivered) of each."""
    if len(chunks) == 1:
        return [estimate(scorer, *chunks[0])]
    joint = estimate(scorer, [arrival for arrivals, _ in chunks for arrival in arrivals])
    split, start = [], 0
    for arrivals, redelivered in chunks:
        count = sum(arrival.query is not None for arrival in arrivals)
        own = joint.candidates.rows(slice(start, start + count)) if joint.candidates else None
        split.append(PreparedChunk(scorer, arrivals, own if count else None, redelivered))
        start += count
    return split


def decide(
    prepared: PreparedChunk, context: DecisionContext, state: DecisionState
) -> dict[int, Row]:
    """Take the decisions of a chunk and reserve for them.

    A function of its arguments alone: a replay of the log takes the same decisions. A live
    partition's lock is held.

    Returns:
        The row of every arrival, by offset.
    """
    expire(prepared.arrivals, context.now)
    if context.log == "queries":
        mark_duplicates(prepared.arrivals, state.recent)
    else:
        state.record_retried(mark_repeated(prepared.arrivals, state.retried))
        mark_failed_over(prepared.arrivals, state)
    rows: dict[int, Row] = {}
    candidates = _live(prepared.candidates)
    if candidates is not None:
        for arrival, row in _route(candidates, context, state):
            rows[arrival.source.offset] = row
    for arrival in prepared.arrivals:
        if arrival.duplicate:
            receipt = _receipt(arrival, state, context, "duplicate", "seen_before")
            rows[arrival.source.offset] = Row(receipt=receipt, duplicate_of=arrival.duplicate_of)
        elif arrival.refusal is not None:
            receipt = _receipt(arrival, state, context, "rejected")
            rows[arrival.source.offset] = Row(receipt=receipt, refusal=Refusal.of(arrival.refusal))
    return rows


def _route(
    candidates: Candidates, context: DecisionContext, state: DecisionState
) -> Iterator[tuple[Arrival, Row]]:
    """Have the policy choose, and reserve for what it has chosen."""
    decider, ledger = context.decider, state.ledger
    drawing = draw_on(
        candidates.scored,
        decider.scorer.catalog,
        tenants_of(candidates),
        decider.limits,
        ledger,
    )
    batch, free = drawing.within(decider.open, ledger)
    floors = floors_of(candidates.arrivals, decider.floors)
    decisions = decider.policy.route(replace(batch, floors=floors), free)
    row, _, amounts = drawing.draws(decisions.model)
    state.reserve(drawing.accounts[row], amounts)
    short = _record_unmet(drawing, decisions, decider.open, state)
    told: list[dict[str, Any]] = on_receipts(floors, decisions, batch.quality)
    for query, names in short.items():
        told[query] = {**told[query], "short_of": names}
    held = drawing.held(decisions.model, ledger)
    return _rows(context, candidates, decisions, held, told, state)


def _live(candidates: Candidates | None) -> Candidates | None:
    """Drop arrivals that have expired since they were estimated, and duplicates."""
    if candidates is None:
        return None
    live = [i for i, arrival in enumerate(candidates.arrivals) if arrival.live]
    if len(live) == len(candidates.arrivals):
        return candidates
    if not live:
        return None
    return candidates.rows(np.array(live))


def tenants_of(candidates: Candidates) -> list[str | None]:
    """Return the tenant of each query; None for nobody."""
    return [arrival.query.tenant if arrival.query else None for arrival in candidates.arrivals]


def _record_unmet(
    drawing: Drawing, decisions: Decisions, open_models: Bools, state: DecisionState
) -> dict[int, list[str]]:
    """Record which accounts had no room for the model that would have been chosen.

    Returns:
        Their names by query, where receipts tell of them.
    """
    short: dict[int, list[str]] = {}
    if (preferred := decisions.preferred) is None:
        return short
    missed = (preferred != NONE) & (preferred != decisions.model) & open_models[preferred]
    wanted = np.where(missed, preferred, NONE)
    for draw in drawing.short(wanted, state.ledger) if missed.any() else ():
        state.record_unmet(draw.account, draw.amount)
        if drawing.general:
            short.setdefault(draw.query, []).append(draw.name)
    return short


def _rows(
    context: DecisionContext,
    candidates: Candidates,
    decisions: Decisions,
    held: Sequence[Held],
    told: Sequence[Mapping[str, Any]],
    state: DecisionState,
) -> Iterator[tuple[Arrival, Row]]:
    """Yield the row of each arrival, but for those that are refused here instead."""
    scorer, room = context.decider.scorer, context.room
    names, batch = scorer.catalog.names, candidates.scored.batch
    quality = np.round(batch.quality, 6).tolist()
    cost = np.round(batch.cost).astype(np.int64).tolist()
    ids = scorer.estimator.history.ids
    nearest = candidates.estimates.neighbours[:, :NEIGHBOURS].tolist()
    for i, (arrival, model, reason, propensity) in enumerate(
        zip(
            candidates.arrivals,
            decisions.model.tolist(),
            decisions.reason,
            decisions.propensity.tolist(),
            strict=True,
        )
    ):
        if reason == "not_allowed":
            arrival.refusal = _no_model(candidates, i, scorer)
            continue
        known: dict[str, Any] = {
            "quality": dict(zip(names, quality[i], strict=True)),
            "cost": dict(zip(names, cost[i], strict=True)),
            "neighbours": [ids[row] for row in nearest[i] if row >= 0],
            "propensity": propensity,
            "excluded": _excluded(scorer, arrival),
            **told[i],
        }
        if model == NONE and room <= 0:
            arrival.refusal = Invalid(
                "budget_exceeded", f"{REASONS[reason]}, and as many wait as may (max_waiting)"
            )
            continue
        if model == NONE:
            room -= 1
            receipt = _receipt(arrival, state, context, "deferred", reason, **known)
            yield arrival, Row(receipt=receipt)
            continue
        known |= _reservation(candidates.scored, scorer, i, model) | long_prompt(arrival.content)
        known |= held[i].receipt
        receipt = _receipt(arrival, state, context, "routed", reason, **known)
        yield arrival, context.hold.row(receipt, held[i].window)


def _no_model(candidates: Candidates, i: int, scorer: QueryScorer) -> Invalid:
    query, fits = candidates.arrivals[i].query, candidates.scored.fits[i]
    assert query is not None  # candidates are arrivals that could be read
    return no_model(scorer.catalog, query, bool(fits.any()), candidates.arrivals[i].tried)


def _excluded(scorer: QueryScorer, arrival: Arrival) -> dict[str, str]:
    return (
        {} if arrival.content is None else excluded(scorer.catalog, arrival.content, arrival.tried)
    )


def _reservation(scored: Prepared, scorer: QueryScorer, i: int, model: int) -> dict[str, Any]:
    """Return what a receipt tells of the reservation of query i for a model."""
    pool = int(scored.pools[i, model])
    return {
        "model": scorer.catalog.names[model],
        "pool": None if pool == NONE else scorer.catalog.models[model].pools[pool].name,
        "reserved": int(scored.batch.bound[i, model]),
        "max_tokens": int(scored.output_tokens[i, model]),
        "bound": "query" if scored.explicit_max_tokens[i] else scorer.bound_of(model),
    }


def _receipt(
    arrival: Arrival,
    state: DecisionState,
    context: DecisionContext,
    decision: Any,
    reason: str = "",
    **known: Any,
) -> Receipt:
    """Make a receipt. A record without a readable id goes by its decision's."""
    return Receipt(
        id=arrival.id or arrival.decision_id,
        decision_id=arrival.decision_id,
        decision=decision,
        reason=reason or (arrival.refusal.code if arrival.refusal else ""),
        policy=context.decider.policy.name,
        price_version=context.decider.price_version,
        control_version=context.decider.control_version,
        index=context.decider.scorer.index,
        source=arrival.source,
        decided_at=context.now,
        tried=list(arrival.tried),
        results_offset=state.settled + 1,
        **known,
    )
