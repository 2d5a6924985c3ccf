"""A log's answered queries, as lines of a history that `sluice index build` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from router.budget.charges import claimed_cost, cost_of, most_believed
from router.models.catalog import ModelCatalog
from schemas import Invalid, Query, Result, Source
from schemas.fields import NANO
from schemas.result import FAILED
from schemas.wire import decode
from streams.client.answers import Answer, of_result
from streams.client.runs import RUN
from streams.kafka.logs import Record
from streams.state.decision_ids import decision_id
from streams.verify.receipt_store import ReceiptStore
from streams.verify.replay_dataset import read_results


class _Outcome(NamedTuple):
    """Of the one model that a query went to. cost: nano-units; text: the answer; decided_at: Unix
    seconds.
    """

    id: str
    model: str
    score: float | None
    cost: int
    text: str
    decided_at: float


def history_lines(
    catalog: ModelCatalog,
    records: Iterable[Record],
    results: Iterable[Record],
    receipt_store: ReceiptStore,
    answers: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield id, prompt, score and cost of each answered query, once each.

    A result counts if its receipt says that the query went to that model; of several, the first,
    as it was charged. Failed calls are left out: they say nothing about the model. An answer
    without a score gets null; it still tells what such answers cost. Queries of `sluice bootstrap`
    and `sluice judge` are left out: they are no traffic; and so are those without text, such as
    nothing but an image: no index can tell which others they are like.

    Args:
        catalog: the models and their prices.
        records: of `queries` and `deferred`.
        results: of `results`.
        receipt_store: the receipts.
        answers: whether lines have the answer's text and when it was decided, for a judge.
    """
    answered: dict[str, _Outcome] = {}
    for result in read_results(results):
        outcome = _outcome(catalog, result, receipt_store)
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
        if (query.metadata is not None and RUN in query.metadata) or not (text := query.text()):
            continue
        more = {"answer": outcome.text, "decided_at": outcome.decided_at} if answers else {}
        yield {
            "id": outcome.id,
            "prompt": text,
            "scores": {outcome.model: outcome.score},
            "cost_usd": {outcome.model: outcome.cost / NANO},
            **more,
        }


def _outcome(catalog: ModelCatalog, result: Result, receipt_store: ReceiptStore) -> _Outcome | None:
    if result.status_code >= FAILED:
        return None
    receipt = receipt_store.of_decision(result.decision_id)
    if receipt is None or (receipt.id, receipt.model) != (result.id, result.model):
        return None
    if result.model not in catalog.index:
        return None
    if (claimed_cost(result, catalog) or 0) > most_believed(result, catalog):
        return None
    cost = cost_of(result, catalog, receipt.reserved)
    ending = of_result(result, catalog)
    text = ending.text if isinstance(ending, Answer) else ""
    return _Outcome(result.id, result.model, result.score, cost, text, receipt.decided_at)
