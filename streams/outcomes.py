"""What came of a log's queries, as lines of a history that `sluice index build` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from router.datasets import NANO
from router.fleet import Fleet
from router.fold import MAX_CHARGE, cost_of
from schemas import Invalid, Query, Result, Source
from schemas.wire import decode
from streams.arrivals import decision_id
from streams.logs import Record
from streams.past import read_results
from streams.spool import Spool


class _Outcome(NamedTuple):
    """Of the one model that a query went to. cost: nano-units."""

    id: str
    model: str
    score: float | None
    cost: int


def history_lines(
    fleet: Fleet, records: Iterable[Record], results: Iterable[Record], spool: Spool
) -> Iterator[dict[str, Any]]:
    """Yield id, prompt, score and cost of each query that was answered, once each. An answer that
    nobody judged has a null for its score; it still tells what such answers cost.

    records: of `queries` and `deferred`; spool: holds the receipts. A result counts where its
    receipt says that the query went to that model; the first one, as it was charged. What failed
    tells of the server, not of the model, and is left out.
    """
    answered: dict[str, _Outcome] = {}
    for result in read_results(results):
        outcome = _outcome(fleet, result, spool)
        if outcome is not None:
            answered.setdefault(result.decision_id, outcome)
    told: set[str] = set()
    for record in records:
        source = Source(record.topic, record.partition, record.offset)
        outcome = answered.get(decision_id(source))
        if outcome is None or outcome.id in told:
            continue
        try:
            query = decode(Query, record.value)
        except Invalid:
            continue
        told.add(outcome.id)
        yield {
            "id": outcome.id,
            "prompt": query.text(),
            "scores": {outcome.model: outcome.score},
            "cost_usd": {outcome.model: outcome.cost / NANO},
        }


def _outcome(fleet: Fleet, result: Result, spool: Spool) -> _Outcome | None:
    if not 200 <= result.status_code < 300:
        return None
    receipt = spool.of_decision(result.decision_id)
    if receipt is None or (receipt.id, receipt.model) != (result.id, result.model):
        return None
    if result.model not in fleet.index or (cost := cost_of(result, fleet)) > MAX_CHARGE:
        return None
    return _Outcome(result.id, result.model, result.score, cost)
