"""Other policies, budgets and fleets on the queries of a log; and the same ones, to the byte."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from router.arrays import Floats, Ints
from router.estimation.estimator import sample_rows
from router.estimation.history import History
from router.evaluation import engine
from router.evaluation.engine import Run
from router.evaluation.estimates import KINDS, PAPER_K, EstimationInputs, OfflineEstimates
from router.evaluation.experiment import make
from router.evaluation.imputation import impute
from router.evaluation.offpolicy import Estimate, Logged, estimate
from router.evaluation.problem import Problem
from router.models.catalog import ModelCatalog
from router.policies.base import NONE, Policy
from router.policies.explore import Explore
from schemas.wire import encode
from streams.config.settings import Config
from streams.control.registry import Registry
from streams.kafka.logs import Logs, Span
from streams.kafka.topics import COMPACTION_LAG, Topics
from streams.routing.build import Parts, configured
from streams.routing.reindex import Indexes
from streams.state.rows import Log
from streams.verify.audit import Audited
from streams.verify.decision_replay import DecisionReplayer, Reader, Retaken, Versions, beside
from streams.verify.ledger_snapshot import LOGS, Advance, LedgerSnapshot
from streams.verify.receipt_store import ReceiptStore
from streams.verify.replay_dataset import ReplayDataset, gather

Bars = Callable[[str, int], Advance]
"""(what is done, how much of it there is) -> how to tell what has been done."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Decisions taken again, and the ledger that they make held against the live one."""

    retaken: Sequence[Retaken]
    audited: Sequence[Audited]
    refused: Sequence[tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class Source:
    """A log to replay. since, until: Unix seconds, by the time of the queries' records."""

    logs: Logs
    topics: Topics
    since: float | None = None
    until: float | None = None

    def spans(self, log: Log) -> list[Span]:
        """The records that were asked for."""
        topic = self.topics.queries if log == "queries" else self.topics.deferred
        return self.logs.spans(topic, self.since, self.until)


def verify(indexes: Indexes, source: Source, bars: Bars) -> Verified:
    """Take every decision again and compare receipts and ledger.

    Raises LogError where the log's beginning has been deleted.
    """
    logs, topics = source.logs, source.topics
    books = LedgerSnapshot.open(logs, topics)
    asked = {log: source.spans(log) for log in LOGS}
    parts = indexes.now
    versions = Versions(parts.new_policy, logs.read(logs.spans(topics.prices)))
    orders = list(logs.read(logs.spans(topics.control)))
    known = parts.core.known
    catalog = known.extended(Registry.of(orders, models=known.names).newcomers())
    with ReceiptStore(topics) as receipt_store, ReceiptStore(topics) as taken:
        _read_receipts(books, logs, receipt_store, bars)
        size = sum(span.size for spans in asked.values() for span in spans)
        deciding = bars("deciding again", size)
        retaken = []
        for number, (changelog, results) in enumerate(
            zip(books.changelog, books.results, strict=True)
        ):
            spans = {log: asked[log][number] for log in LOGS}
            events = beside(logs.read([changelog]))
            retaker = DecisionReplayer(
                indexes,
                topics,
                versions,
                number,
                events,
                logs.read([results]),
                orders,
                time.time() - COMPACTION_LAG["control"],
            )
            readers = {log: Reader(logs.read([spans[log]], deciding)) for log in LOGS}

            def within(log: Log, offset: int, spans: dict[Log, Span] = spans) -> bool:
                return spans[log].start <= offset < spans[log].end

            for receipt in retaker.take(receipt_store.of_partition(number), readers, within):
                taken.put(receipt, encode(receipt))
            retaken.append(retaker.done)
        comparing = bars("comparing ledgers", books.size)
        audited = list(books.check(logs, catalog, taken, progress=comparing))
        return Verified(retaken, audited, list(receipt_store.refused))


def read(parts: Parts, source: Source, bars: Bars) -> ReplayDataset:
    """Read a log's queries with what came of them. ValueError where there are none."""
    logs, topics = source.logs, source.topics
    asked = source.spans("queries")
    results = logs.spans(topics.results)
    receipts = logs.spans(topics.receipts)
    with ReceiptStore(topics) as receipt_store:
        size = sum(span.size for span in receipts)
        receipt_store.fill(logs.read(receipts, bars("reading receipts", size)))
        return gather(
            parts.core,
            logs.read(asked),
            logs.read(results, bars("reading results", sum(span.size for span in results))),
            receipt_store,
            bars("estimating", sum(span.size for span in asked)),
        )


def _read_receipts(
    books: LedgerSnapshot, logs: Logs, receipt_store: ReceiptStore, bars: Bars
) -> None:
    advance = bars("reading receipts", sum(span.size for span in books.receipts))
    receipt_store.fill(logs.read(books.receipts, advance))


# Other policies


@dataclass(frozen=True, slots=True)
class Judged:
    """One policy with one budget. score, cost: means a query, cost in nano-units."""

    policy: str
    budget: float
    run: Run
    problem: Problem
    score: Estimate
    cost: Estimate


class Laboratory:
    """A log's queries, with every outcome that nobody has seen imputed from neighbours."""

    def __init__(
        self, config: Config, parts: Parts, past: ReplayDataset, models: Sequence[str]
    ) -> None:
        """models: the part of the fleet to try; none for all. ValueError for a strange one."""
        catalog, history = parts.core.catalog, parts.core.estimator.history
        if unknown := [name for name in models if name not in catalog.index]:
            raise ValueError(
                f"no model {unknown[0]!r} in the configuration; there are: "
                f"{', '.join(catalog.names)}"
            )
        columns = [catalog.index[name] for name in models or catalog.names]
        scores, costs = impute(history, past.vectors, past.scores, past.costs)
        self._config = config
        self._fleet = ModelCatalog(catalog.models[i] for i in columns)
        self._limits = parts.limits[columns]
        self._history = History(
            history.ids, history.embeddings, history.scores[:, columns], history.costs[:, columns]
        )
        warm = parts.core.estimator.leave_one_out(sample_rows(len(history)))
        self._warm = warm.quality[:, columns], warm.cost[:, columns]
        self._reward = _logged(past.scores, past.model)
        self._charge = _logged(past.costs, past.model)
        self.past = past.with_models(columns)
        self._scores, self._costs = scores[:, columns], costs[:, columns]
        self._made: dict[str, OfflineEstimates] = {}

    @property
    def judged_outcomes(self) -> int:
        """Queries whose logged decision has a known score; deferred ones count, as they have 0."""
        return int(np.isfinite(self._reward).sum())

    @property
    def explored(self) -> bool:
        """Whether the log's decisions left anything to chance."""
        return Logged(self.past.model, self.past.propensity, self._reward).explored

    def logged(self) -> tuple[float, float, int]:
        """Of the log itself: mean known score and cost a query, and how many were sent."""
        return (
            float(np.nanmean(self._reward)),
            float(np.nanmean(self._charge)),
            int((self.past.model != NONE).sum()),
        )

    def judge(self, names: Sequence[str], budgets: Sequence[float]) -> Iterator[Judged]:
        """Run policies (each from the start) with multiples of the configured limits."""
        past = self.past
        for budget in budgets:
            problem = self.problem(budget)
            for name in names:
                run = engine.run(self._policy(name), problem)
                chosen = np.where(run.served, run.model, NONE)
                score, cost = (
                    estimate(Logged(past.model, past.propensity, reward), chosen, imputed)
                    for reward, imputed in (
                        (self._reward, self._scores),
                        (self._charge, self._costs),
                    )
                )
                yield Judged(name, budget, run, problem, score, cost)

    def problem(self, budget: float) -> Problem:
        """The queries with outcomes as far as they are known, else imputed."""
        past = self.past
        costs = np.where(np.isfinite(past.costs), past.costs, self._costs)
        return Problem(
            catalog=self._fleet,
            ids=past.ids,
            tasks=[""] * len(past),
            limits=np.floor(self._limits * budget).astype(np.int64),
            scores=np.where(np.isfinite(past.scores), past.scores, self._scores),
            costs=np.ceil(costs).astype(np.int64),
            known=past.allowed,
            estimates=self._estimates,
        )

    def _policy(self, name: str) -> Policy:
        config = self._config
        if name == config.policy.name:
            policy = configured(config, self._fleet)
            # Its exploration would draw what the log drew: that agreement is no evidence.
            return policy.policy if isinstance(policy, Explore) else policy
        return make(name, self._fleet, config.policy.seed)

    def _estimates(self, kind: str) -> OfflineEstimates:
        if kind not in self._made:
            if kind == "best":
                self._made[kind] = OfflineEstimates(self.past.quality, self.past.cost, *self._warm)
            else:
                none: list[str] = []  # only "best" looks at texts
                known = EstimationInputs(self._history, none, self.past.vectors, none, PAPER_K)
                self._made[kind] = KINDS[kind](known)
        return self._made[kind]


def _logged(outcomes: Floats, model: Ints) -> Floats:
    """float64[n]: what came of each logged decision; 0 where it was to defer."""
    rows = np.arange(len(model))
    return np.where(model == NONE, 0.0, outcomes[rows, np.maximum(model, 0)])
