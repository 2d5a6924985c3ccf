"""Decisions on a chunk of arrivals: what the policy chose, as rows to write ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from router.arrays import Bools, Ints
from router.budget.tenants import BEYOND, route, tenant_accounts
from router.estimation.estimator import Estimates
from router.estimation.scorer import UNSET, Prepared, QueryConstraints, QueryScorer
from router.policies.base import NONE, REASONS, Batch, Decisions, Policy
from schemas import Invalid, Query, Receipt
from streams.routing.arrivals import Arrival, expire, mark_duplicates, mark_repeated
from streams.state.partition import Partition
from streams.state.recent_ids import RecentIds
from streams.state.rows import Refusal, Row

NEIGHBOURS = 8
"""So many nearest neighbours a receipt names."""
CHAT_TEMPLATE = 64
"""Prompt tokens that a model's chat template may add to the text."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Arrivals that a policy may decide on: `arrivals[i]` is row i of the arrays."""

    arrivals: Sequence[Arrival]
    estimates: Estimates
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Estimated:
    """A chunk after the slow part: all fresh arrivals in order, those of them that a policy may
    decide on, and records that were decided before (delivered again). core: what estimated them.
    """

    core: QueryScorer
    arrivals: Sequence[Arrival]
    ready: Ready | None = None
    again: Sequence[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Context:
    """What all decisions of a chunk share.

    now: Unix seconds, which every receipt carries; room: queries that may still be deferred;
    open: bool[M], the models that take new queries; recent: ids that were taken before, None for
    records that are looked at again; control_version: of the registry that says so.
    """

    core: QueryScorer
    policy: Policy
    price_version: int
    now: float
    room: int
    open: Bools
    recent: RecentIds | None = None
    control_version: int = 0


def estimate(core: QueryScorer, arrivals: Sequence[Arrival], again: Sequence[Any]) -> Estimated:
    """Embed and estimate. Slow, and without the state of any partition: runs in a thread."""
    good = [arrival for arrival in arrivals if arrival.query is not None]
    if not good:
        return Estimated(core, arrivals, again=again)
    queries = [arrival.query for arrival in good if arrival.query is not None]
    _, estimates = core.estimate(
        [query.text() for query in queries], [query.embedding for query in queries]
    )
    prepared = core.batch(estimates, constraints(core, good, queries))
    return Estimated(core, arrivals, Ready(good, estimates, prepared), again)


def decide(estimated: Estimated, context: Context, partition: Partition) -> dict[int, Row]:
    """Take the decisions of a chunk and reserve for them. Returns rows by offset.

    The partition's lock is held.
    """
    expire(estimated.arrivals, context.now)
    if context.recent is not None:
        mark_duplicates(estimated.arrivals, context.recent)
    else:
        mark_repeated(estimated.arrivals, partition.readmitted)
    rows: dict[int, Row] = {}
    ready = _live(estimated.ready)
    if ready is not None:
        ledger, room = partition.ledger, partition.ledger.free()
        names = context.core.catalog.names
        models = np.array([ledger.index[name] for name in names], dtype=np.int64)
        tenants = tenant_accounts(ledger, names, _tenants(ready))
        free = np.where(context.open, room[models], 0)
        # A closed model whose answers cost nothing would fit into no money, too.
        bound = np.where(context.open, ready.prepared.batch.bound, BEYOND)
        batch = replace(ready.prepared.batch, bound=bound)
        decisions = route(context.policy, batch, free, tenants, room)
        accounts = _accounts(models, tenants, decisions.model)
        _reserve(ready.prepared, decisions, accounts, partition)
        if (preferred := decisions.preferred) is not None:
            missed = (preferred != NONE) & (preferred != decisions.model) & context.open[preferred]
            wanted = _accounts(models, tenants, np.where(missed, preferred, NONE))
            _note_unmet(ready.prepared, preferred, wanted, partition)
        for arrival, row in _rows(context, ready, decisions, accounts, partition):
            rows[arrival.source.offset] = row
    for arrival in estimated.arrivals:
        if arrival.duplicate:
            receipt = _receipt(arrival, partition, context, "duplicate", "seen_before")
            rows[arrival.source.offset] = Row(receipt=receipt)
        elif arrival.refusal is not None:
            receipt = _receipt(arrival, partition, context, "rejected")
            rows[arrival.source.offset] = Row(receipt=receipt, refusal=Refusal.of(arrival.refusal))
    return rows


def constraints(
    core: QueryScorer, arrivals: Sequence[Arrival], queries: Sequence[Query]
) -> QueryConstraints:
    """What the queries of arrivals ask for themselves; row i of its arrays is `queries[i]`."""
    everything = core.catalog.names
    return QueryConstraints(
        ids=[query.id for query in queries],
        # A byte-level tokenizer never makes more tokens than there are bytes.
        prompt_tokens=_ints(len(arrival.record.value) + CHAT_TEMPLATE for arrival in arrivals),
        max_tokens=_ints(query.output_tokens or UNSET for query in queries),
        max_cost=_ints(UNSET if query.max_cost is None else query.max_cost for query in queries),
        allowed=np.array(
            [core.catalog.mask(query.allowed_models or everything) for query in queries]
        ),
    )


def _ints(values: Iterator[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


def _live(ready: Ready | None) -> Ready | None:
    """Leave out arrivals that have expired since they were estimated, and duplicates."""
    if ready is None:
        return None
    live = [i for i, arrival in enumerate(ready.arrivals) if arrival.live]
    if len(live) == len(ready.arrivals):
        return ready
    if not live:
        return None
    estimates, prepared, batch = ready.estimates, ready.prepared, ready.prepared.batch
    kept = Batch(
        ids=[batch.ids[i] for i in live],
        quality=batch.quality[live],
        cost=batch.cost[live],
        bound=batch.bound[live],
        allowed=batch.allowed[live],
    )
    return Ready(
        [ready.arrivals[i] for i in live],
        replace(estimates, quality=estimates.quality[live], neighbours=estimates.neighbours[live]),
        Prepared(
            kept,
            prepared.output_tokens[live],
            prepared.explicit_max_tokens[live],
            prepared.fits[live],
        ),
    )


def _tenants(ready: Ready) -> list[str | None]:
    return [arrival.query.tenant if arrival.query else None for arrival in ready.arrivals]


def _accounts(models: Ints, tenants: Ints | None, model: Ints) -> Ints:
    """int64[n, 1 or 2]: the numbers of the accounts that n queries draw on when they go to `model`
    int64[n]: the model's, and their tenants' where these have limits; NONE for none.

    models: int64[M], the models' own; tenants: see `tenant_accounts`.
    """
    sent, rows = model != NONE, np.arange(len(model))
    of_model = np.where(sent, models[model], NONE)
    if tenants is None:
        return of_model[:, None]
    return np.column_stack([of_model, np.where(sent, tenants[rows, model], NONE)])


def _reserve(
    prepared: Prepared, decisions: Decisions, accounts: Ints, partition: Partition
) -> None:
    query, which = np.nonzero(accounts != NONE)
    amounts = prepared.batch.bound[query, decisions.model[query]]
    partition.ledger.reserve(accounts[query, which], amounts)


def _note_unmet(prepared: Prepared, model: Ints, accounts: Ints, partition: Partition) -> None:
    """Tell the controller which accounts had no room for what would have gone to `model`."""
    left = partition.ledger.free()
    for query, which in np.argwhere(accounts != NONE).tolist():
        account = int(accounts[query, which])
        amount = int(prepared.batch.bound[query, model[query]])
        if amount > left[account]:
            partition.unmet.add(account, amount)


def _rows(
    context: Context, ready: Ready, decisions: Decisions, accounts: Ints, partition: Partition
) -> Iterator[tuple[Arrival, Row]]:
    """Yield each arrival's row; one that no model may take gets its refusal here."""
    core, room = context.core, context.room
    names, batch = core.catalog.names, ready.prepared.batch
    quality = np.round(batch.quality, 6).tolist()
    cost = np.round(batch.cost).astype(np.int64).tolist()
    ids = core.estimator.history.ids
    nearest = ready.estimates.neighbours[:, :NEIGHBOURS].tolist()
    limited = (accounts[:, 1:] != NONE).any(axis=1).tolist()
    for i, (arrival, model, reason, propensity) in enumerate(
        zip(
            ready.arrivals,
            decisions.model.tolist(),
            decisions.reason,
            decisions.propensity.tolist(),
            strict=True,
        )
    ):
        if reason == "not_allowed":
            arrival.refusal = _no_model(ready.prepared, i)
            continue
        known: dict[str, Any] = {
            "quality": dict(zip(names, quality[i], strict=True)),
            "cost": dict(zip(names, cost[i], strict=True)),
            "neighbours": [ids[row] for row in nearest[i] if row >= 0],
            "propensity": propensity,
        }
        if model == NONE and room <= 0:
            arrival.refusal = Invalid(
                "budget_exceeded", f"{REASONS[reason]}, and as many wait as may (max_waiting)"
            )
            continue
        if model == NONE:
            room -= 1
            receipt = _receipt(arrival, partition, context, "deferred", reason, **known)
        else:
            receipt = _receipt(
                arrival,
                partition,
                context,
                "routed",
                reason,
                model=names[model],
                reserved=int(batch.bound[i, model]),
                tenant=arrival.query.tenant if arrival.query and limited[i] else None,
                max_tokens=int(ready.prepared.output_tokens[i, model]),
                bound="query" if ready.prepared.explicit_max_tokens[i] else core.bound_of(model),
                **known,
            )
        window = 0 if model == NONE else int(partition.ledger.window[accounts[i, 0]])
        yield arrival, Row(receipt=receipt, window=window)


def _no_model(prepared: Prepared, i: int) -> Invalid:
    if not prepared.fits[i].any():
        return Invalid(
            "context_too_long", "prompt and allowed output are longer than any model's context"
        )
    return Invalid(
        "no_model_allowed",
        "no model is left: allowed_models, max_cost and the models' contexts exclude them all",
    )


def _receipt(
    arrival: Arrival,
    partition: Partition,
    context: Context,
    decision: Any,
    reason: str = "",
    **known: Any,
) -> Receipt:
    """Make a receipt. What has no id of its own goes by its decision's."""
    return Receipt(
        id=arrival.id or arrival.decision_id,
        decision_id=arrival.decision_id,
        decision=decision,
        reason=reason or (arrival.refusal.code if arrival.refusal else ""),
        policy=context.policy.name,
        price_version=context.price_version,
        control_version=context.control_version,
        index=context.core.index,
        source=arrival.source,
        decided_at=context.now,
        results_offset=partition.settled + 1,
        **known,
    )
