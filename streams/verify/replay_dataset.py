"""What a log tells of the queries in it: what was decided, what came of it, what was estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from router.arrays import Bools, Floats, Ints, Vectors
from router.budget.reference_ledger import MAX_CHARGE, cost_of
from router.estimation.scorer import QueryScorer
from router.policies.base import NONE
from schemas import Invalid, Query, Receipt, Result
from schemas.wire import decode
from streams.kafka.logs import Record
from streams.routing.arrivals import Arrival, parse
from streams.routing.decide import constraints
from streams.verify.receipt_store import ReceiptStore

BLOCK = 512
"""Queries embedded at once."""
DEFERRED = frozenset({"budget_exceeded"})
"""Rejections of queries that a policy would have deferred, had there been room."""


@dataclass(frozen=True, slots=True)
class ReplayDataset:
    """n queries in the order in which they were decided; M models.

    vectors: float32[n, dim]; quality, cost: float64[n, M] estimates; allowed: bool[n, M];
    model: int64[n] that each was sent to on arrival, NONE where it was deferred; propensity:
    float64[n] of that; scores, costs: float64[n, M] outcomes, NaN where nobody knows: of one
    model a query at most. left_out: queries rejected, or not decided when the log was looked at.
    """

    ids: Sequence[str]
    vectors: Vectors
    quality: Floats
    cost: Floats
    allowed: Bools
    model: Ints
    propensity: Floats
    scores: Floats
    costs: Floats
    left_out: int

    def __len__(self) -> int:
        return len(self.ids)

    def with_models(self, columns: Sequence[int]) -> ReplayDataset:
        """The same for a part of the models. Decisions for others count as deferred."""
        place = np.full(self.scores.shape[1] + 1, NONE, dtype=np.int64)  # the last is for NONE
        place[list(columns)] = np.arange(len(columns))
        chosen = list(columns)
        return replace(
            self,
            quality=self.quality[:, chosen],
            cost=self.cost[:, chosen],
            allowed=self.allowed[:, chosen],
            model=place[self.model],
            scores=self.scores[:, chosen],
            costs=self.costs[:, chosen],
        )


def build_dataset(
    core: QueryScorer,
    queries: Iterable[Record],
    results: Iterable[Record],
    receipt_store: ReceiptStore,
    progress: Callable[[int], None] = lambda queries: None,
) -> ReplayDataset:
    """Read a log's queries, and all results. `spool` holds the receipts.

    Raises ValueError where there is no decided query among them.
    """
    blocks, left_out = [], 0
    order: list[tuple[float, int, int]] = []
    row_of: dict[str, int] = {}
    model: list[int] = []
    propensity: list[float] = []
    source = iter(queries)
    while records := list(islice(source, BLOCK)):
        kept: list[tuple[Arrival, Query]] = []
        for arrival in parse(records, core.catalog, core.embedder):
            receipt = receipt_store.get(arrival.source.partition, "queries", arrival.source.offset)
            if receipt is None or arrival.query is None or not _was_put_to_policy(receipt):
                left_out += 1
                continue
            kept.append((arrival, arrival.query))
            row_of[receipt.decision_id] = len(order)
            order.append((receipt.decided_at, receipt.source.partition, receipt.source.offset))
            model.append(core.catalog.index.get(receipt.model or "", NONE))
            propensity.append(receipt.propensity)
        if kept:
            blocks.append(_estimate(core, kept))
        progress(len(records))
    if not order:
        raise ValueError("no query of that time has been decided: nothing can be replayed")
    ids = [id for block in blocks for id in block[0]]
    vectors, quality, cost = (np.concatenate([block[i] for block in blocks]) for i in (1, 2, 3))
    allowed = np.concatenate([block[4] for block in blocks])
    scores, costs = _outcomes(core, results, receipt_store, row_of, ids)
    rows = np.array(sorted(range(len(order)), key=order.__getitem__), dtype=np.int64)
    return ReplayDataset(
        ids=[ids[row] for row in rows],
        vectors=vectors[rows],
        quality=quality[rows],
        cost=cost[rows],
        allowed=allowed[rows],
        model=np.array(model, dtype=np.int64)[rows],
        propensity=np.array(propensity)[rows],
        scores=scores[rows],
        costs=costs[rows],
        left_out=left_out,
    )


def _was_put_to_policy(receipt: Receipt) -> bool:
    return receipt.decision != "rejected" or receipt.reason in DEFERRED


def _estimate(
    core: QueryScorer, kept: Sequence[tuple[Arrival, Query]]
) -> tuple[list[str], Vectors, Floats, Floats, Bools]:
    arrivals, queries = [arrival for arrival, _ in kept], [query for _, query in kept]
    vectors, estimates = core.estimate(
        [query.text() for query in queries], [query.embedding for query in queries]
    )
    batch = core.batch(estimates, constraints(core, arrivals, queries)).batch
    return [query.id for query in queries], vectors, batch.quality, batch.cost, batch.allowed


def _outcomes(
    core: QueryScorer,
    results: Iterable[Record],
    receipt_store: ReceiptStore,
    row_of: dict[str, int],
    ids: Sequence[str],
) -> tuple[Floats, Floats]:
    """float64[n, M] scores and costs. A query that was deferred and sent later has its outcome
    too. A call that failed earned nothing."""
    catalog = core.catalog
    scores, costs = (np.full((len(ids), len(catalog)), np.nan) for _ in range(2))
    rows_by_id = {id: row for row, id in enumerate(ids)}
    for result in read_results(results):
        row = row_of.get(result.decision_id)
        if row is None and result.id in rows_by_id:
            receipt = receipt_store.of_decision(result.decision_id)
            if receipt is not None and (receipt.id, receipt.model) == (result.id, result.model):
                row = rows_by_id[result.id]
        column = catalog.index.get(result.model)
        if row is None or column is None or np.isfinite(costs[row, column]):
            continue
        if ids[row] != result.id or (cost := cost_of(result, catalog)) > MAX_CHARGE:
            continue
        costs[row, column] = cost
        failed = not 200 <= result.status_code < 300
        scores[row, column] = 0.0 if failed and result.score is None else _number(result.score)
    return scores, costs


def read_results(results: Iterable[Record]) -> Iterator[Result]:
    """Those of the records that are results."""
    for record in results:
        try:
            yield decode(Result, record.value)
        except Invalid:
            continue


def _number(score: float | None) -> float:
    return float("nan") if score is None else score
