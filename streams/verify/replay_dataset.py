"""A log's queries as a dataset: their decisions, outcomes and estimates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from router.arrays import Bools, Floats, Ints, Vectors
from router.budget.charges import known_cost
from router.estimation.scorer import QueryScorer
from router.policies.base import NONE
from schemas import Invalid, Query, Receipt, Result
from schemas.result import FAILED, read_result
from streams.kafka.logs import Record
from streams.routing.arrivals import Arrival, parse
from streams.routing.constraints import constraints
from streams.verify.receipt_store import ReceiptStore

BLOCK = 512
"""Number of queries embedded at once."""
DEFERRED = frozenset({"budget_exceeded"})
"""Reasons of rejections that a policy would have deferred, had there been room."""


@dataclass(frozen=True, slots=True)
class ReplayDataset:
    """n queries in the order in which they were decided, and M models.

    Attributes:
        ids: n query ids.
        vectors: embeddings, float32[n, dim].
        quality: estimated scores, float64[n, M].
        cost: estimated costs, float64[n, M] nano-units.
        allowed: which models each query may use, bool[n, M].
        model: the model each was sent to on arrival, int64[n]; NONE where it was deferred.
        propensity: the probability of that decision, float64[n].
        scores: known scores, float64[n, M]; NaN where unknown: at most one per query is known.
        costs: known costs, float64[n, M] nano-units; NaN where unknown.
        left_out: number of queries that were rejected, or not decided yet.
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
        """Keep some models (column numbers) only. Decisions for others count as deferred."""
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
    scorer: QueryScorer,
    queries: Iterable[Record],
    results: Iterable[Record],
    receipt_store: ReceiptStore,
    progress: Callable[[int], None] = lambda queries: None,
) -> ReplayDataset:
    """Read a log's queries and results.

    Args:
        scorer: estimates quality and cost.
        queries: records of the topic `queries`.
        results: all records of the topic `results`.
        receipt_store: the receipts.
        progress: called with the number of queries read.

    Raises:
        ValueError: none of the queries has been decided.
    """
    decided = _DecidedQueries(scorer, receipt_store)
    source = iter(queries)
    while records := list(islice(source, BLOCK)):
        decided.add(records)
        progress(len(records))
    if not decided.receipts:
        raise ValueError("no query of that time has been decided: nothing can be replayed")
    blocks, receipts = decided.blocks, decided.receipts
    ids = [id for block in blocks for id in block.ids]
    row_of = {receipt.decision_id: row for row, receipt in enumerate(receipts)}
    scores, costs = _outcomes(scorer, results, receipt_store, row_of, ids)
    rows = np.array(sorted(range(len(receipts)), key=lambda row: _order(receipts[row])))
    index = scorer.catalog.index
    model = [index.get(receipt.model or "", NONE) for receipt in receipts]
    return ReplayDataset(
        ids=[ids[row] for row in rows],
        vectors=np.concatenate([block.vectors for block in blocks])[rows],
        quality=np.concatenate([block.quality for block in blocks])[rows],
        cost=np.concatenate([block.cost for block in blocks])[rows],
        allowed=np.concatenate([block.allowed for block in blocks])[rows],
        model=np.array(model, dtype=np.int64)[rows],
        propensity=np.array([receipt.propensity for receipt in receipts])[rows],
        scores=scores[rows],
        costs=costs[rows],
        left_out=decided.left_out,
    )


class _Block(NamedTuple):
    """Estimates for a block of n queries. vectors: float32[n, dim]; quality, cost: float64[n, M];
    allowed: bool[n, M]."""

    ids: list[str]
    vectors: Vectors
    quality: Floats
    cost: Floats
    allowed: Bools


class _DecidedQueries:
    """The queries that a policy decided, in the order of the log, with their receipts."""

    def __init__(self, scorer: QueryScorer, receipt_store: ReceiptStore) -> None:
        self._scorer = scorer
        self._receipt_store = receipt_store
        self.blocks: list[_Block] = []
        self.receipts: list[Receipt] = []
        self.left_out = 0

    def add(self, records: Sequence[Record]) -> None:
        """Estimate the queries of a block of records; leave out those that no policy decided."""
        kept: list[tuple[Arrival, Query]] = []
        for arrival in parse(records, self._scorer.catalog, self._scorer.embedder):
            source = arrival.source
            receipt = self._receipt_store.get(source.partition, "queries", source.offset)
            if receipt is None or arrival.query is None or not _was_put_to_policy(receipt):
                self.left_out += 1
                continue
            kept.append((arrival, arrival.query))
            self.receipts.append(receipt)
        if kept:
            self.blocks.append(_estimate(self._scorer, kept))


def _order(receipt: Receipt) -> tuple[float, int, int]:
    """Return the key that sorts receipts by the time of their decision."""
    return receipt.decided_at, receipt.source.partition, receipt.source.offset


def _was_put_to_policy(receipt: Receipt) -> bool:
    return receipt.decision in ("routed", "deferred") or receipt.reason in DEFERRED


def _estimate(scorer: QueryScorer, kept: Sequence[tuple[Arrival, Query]]) -> _Block:
    queries = [query for _, query in kept]
    contents = [arrival.content or query.content() for arrival, query in kept]
    vectors, estimates = scorer.estimate(
        [query.text() for query in queries], [query.embedding for query in queries]
    )
    batch = scorer.batch(estimates, constraints(scorer, queries, contents)).batch
    ids = [query.id for query in queries]
    return _Block(ids, vectors, batch.quality, batch.cost, batch.allowed)


def _outcomes(
    scorer: QueryScorer,
    results: Iterable[Record],
    receipt_store: ReceiptStore,
    row_of: dict[str, int],
    ids: Sequence[str],
) -> tuple[Floats, Floats]:
    """Return known scores and costs, float64[n, M] each, NaN where unknown.

    A query that was deferred and sent later has its outcome too. A failed call scores 0.
    """
    catalog = scorer.catalog
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
        cost = known_cost(result, catalog)
        if ids[row] != result.id or cost is None:
            continue
        costs[row, column] = cost
        failed = result.status_code >= FAILED
        scores[row, column] = 0.0 if failed and result.score is None else _number(result.score)
    return scores, costs


def read_results(results: Iterable[Record]) -> Iterator[Result]:
    """Yield the valid results; records that are none are skipped."""
    for record in results:
        try:
            yield read_result(record.value)
        except Invalid:
            continue


def _number(score: float | None) -> float:
    return float("nan") if score is None else score
