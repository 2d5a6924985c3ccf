"""Run other policies, budgets and models on a log's queries, or re-execute its own decisions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from router.arrays import Floats, Ints
from router.budget.limits import LimitSet
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
from streams.verify.audit import PartitionAudit
from streams.verify.decision_replay import DecisionReplayer, OffsetReader, PartitionReplay
from streams.verify.ledger_snapshot import LOGS, LedgerSnapshot, ProgressCallback
from streams.verify.receipt_store import ReceiptStore
from streams.verify.replay_dataset import ReplayDataset, build_dataset
from streams.verify.replayed_control import PriceVersions
from streams.verify.replayed_state import ledger_adjustments

TaskFactory = Callable[[str, int], ProgressCallback]
"""(description, total) -> a callback that takes the amount done since its last call."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Result of `verify`.

    Attributes:
        replayed: re-executed decisions, by query partition.
        audited: the live ledger compared with the ledger that these decisions make.
        refused: receipts that could not be used: query partition or -1, decision id, reason.
    """

    replayed: Sequence[PartitionReplay]
    audited: Sequence[PartitionAudit]
    refused: Sequence[tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class Source:
    """A log to replay.

    Attributes:
        logs: the broker's logs.
        topics: names of the topics.
        since: first time of a query's record to include, Unix seconds; None for the beginning.
        until: first time to exclude, Unix seconds; None for the end.
    """

    logs: Logs
    topics: Topics
    since: float | None = None
    until: float | None = None

    def spans(self, log: Log) -> list[Span]:
        """Return the records of a log within `since` and `until`, by partition."""
        topic = self.topics.queries if log == "queries" else self.topics.deferred
        return self.logs.spans(topic, self.since, self.until)


def verify(indexes: Indexes, source: Source, new_task: TaskFactory) -> Verified:
    """Re-execute every decision of a log, and compare its receipts and ledger.

    Args:
        indexes: the current index and those kept beside it.
        source: the log. Decisions outside its time are taken from their receipts.
        new_task: called for each step, to report progress.

    Raises:
        LogError: the log's beginning has been deleted.
    """
    logs, topics = source.logs, source.topics
    snapshot = LedgerSnapshot.open(logs, topics)
    asked = {log: source.spans(log) for log in LOGS}
    parts = indexes.now
    versions = PriceVersions(parts.new_policy, logs.read(logs.spans(topics.prices)))
    commands = list(logs.read(logs.spans(topics.control)))
    newcomers = Registry.of(commands, models=parts.taken_names).newcomers()
    catalog = parts.scorer.known.extended(newcomers)
    with ReceiptStore(topics) as receipt_store, ReceiptStore(topics) as taken:
        _read_receipts(snapshot, logs, receipt_store, new_task)
        size = sum(span.size for spans in asked.values() for span in spans)
        deciding = new_task("re-executing decisions", size)
        replayed = []
        for number, (changelog, results) in enumerate(
            zip(snapshot.changelog, snapshot.results, strict=True)
        ):
            spans = {log: asked[log][number : number + 1] for log in LOGS}
            adjustments = ledger_adjustments(logs.read([changelog]))
            replayer = DecisionReplayer(
                indexes,
                topics,
                versions,
                number,
                adjustments,
                logs.read([results]),
                commands,
                time.time() - COMPACTION_LAG["control"],
            )
            readers = {log: OffsetReader(logs.read(spans[log], deciding)) for log in LOGS}

            def within(log: Log, offset: int, spans: dict[Log, list[Span]] = spans) -> bool:
                return any(span.start <= offset < span.end for span in spans[log])

            for receipt in replayer.replay(receipt_store.of_partition(number), readers, within):
                taken.put(receipt, encode(receipt))
            replayed.append(replayer.done)
        comparing = new_task("comparing ledgers", snapshot.size)
        audited = list(snapshot.check(logs, catalog, taken, progress=comparing))
        return Verified(replayed, audited, list(receipt_store.refused))


def read(parts: Parts, source: Source, new_task: TaskFactory) -> ReplayDataset:
    """Read a log's queries with their decisions and outcomes.

    Raises:
        ValueError: no query of that time has been decided.
    """
    logs, topics = source.logs, source.topics
    asked = source.spans("queries")
    results = logs.spans(topics.results)
    receipts = logs.spans(topics.receipts)
    with ReceiptStore(topics) as receipt_store:
        size = sum(span.size for span in receipts)
        receipt_store.fill(logs.read(receipts, new_task("reading receipts", size)))
        return build_dataset(
            parts.scorer,
            logs.read(asked),
            logs.read(results, new_task("reading results", sum(span.size for span in results))),
            receipt_store,
            new_task("estimating", sum(span.size for span in asked)),
        )


def _read_receipts(
    snapshot: LedgerSnapshot, logs: Logs, receipt_store: ReceiptStore, new_task: TaskFactory
) -> None:
    advance = new_task("reading receipts", sum(span.size for span in snapshot.receipts))
    receipt_store.fill(logs.read(snapshot.receipts, advance))


# Other policies


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """One policy under one budget.

    Attributes:
        policy: its name.
        budget: multiple of the configured limits.
        run: its decisions, charged with imputed outcomes where none is known.
        problem: the queries it decided.
        score: off-policy estimates of the mean score per query.
        cost: off-policy estimates of the mean cost per query, nano-units.
    """

    policy: str
    budget: float
    run: Run
    problem: Problem
    score: Estimate
    cost: Estimate


class PolicyComparison:
    """Runs policies on a log's queries; unknown outcomes are imputed from neighbours."""

    def __init__(
        self, config: Config, parts: Parts, dataset: ReplayDataset, models: Sequence[str]
    ) -> None:
        """Impute the unknown outcomes.

        Args:
            config: the deployment's configuration.
            parts: scorer, limits and index of that configuration.
            dataset: the log's queries.
            models: names of the models to route to; empty for all.

        Raises:
            ValueError: a name is not a configured model.
        """
        catalog, history = parts.scorer.catalog, parts.scorer.estimator.history
        if unknown := [name for name in models if name not in catalog.index]:
            raise ValueError(
                f"no model {unknown[0]!r} in the configuration; there are: "
                f"{', '.join(catalog.names)}"
            )
        columns = [catalog.index[name] for name in models or catalog.names]
        scores, costs = impute(history, dataset.vectors, dataset.scores, dataset.costs)
        self._config = config
        self._catalog = ModelCatalog(catalog.models[i] for i in columns)
        # The log is one window for all limits: how often others begin again is not looked at.
        money, _ = parts.limits.for_all(catalog.names).of_models(np.array(columns))
        names = [name for name, unit in zip(money.names, money.unit, strict=True) if unit == 0]
        self._coverage = parts.limits.named(self._catalog.names, names)
        self._limits = np.array([parts.amounts[name] for name in names], dtype=np.int64)
        self._history = History(
            history.ids, history.embeddings, history.scores[:, columns], history.costs[:, columns]
        )
        warm = parts.scorer.estimator.base.leave_one_out(sample_rows(len(history)))
        self._warm = warm.quality[:, columns], warm.cost[:, columns]
        self._reward = _logged(dataset.scores, dataset.model)
        self._charge = _logged(dataset.costs, dataset.model)
        self.dataset = dataset.with_models(columns)
        self._scores, self._costs = scores[:, columns], costs[:, columns]
        self._estimates_by_kind: dict[str, OfflineEstimates] = {}

    @property
    def judged_outcomes(self) -> int:
        """Number of queries whose logged decision has a known score (deferred ones score 0)."""
        return int(np.isfinite(self._reward).sum())

    @property
    def uncounted(self) -> list[str]:
        """Names of the limits that are left out."""
        return uncounted(self._config.limit_set())

    @property
    def explored(self) -> bool:
        """Whether the log's decisions were randomised."""
        return Logged(self.dataset.model, self.dataset.propensity, self._reward).explored

    def logged(self) -> tuple[float, float, int]:
        """Return the log's mean known score and cost (nano-units), and how many were sent.

        A mean is NaN where nothing is known.
        """
        return (
            _known_mean(self._reward),
            _known_mean(self._charge),
            int((self.dataset.model != NONE).sum()),
        )

    def run(self, names: Sequence[str], budgets: Sequence[float]) -> Iterator[PolicyResult]:
        """Run each policy from the start under each multiple of the configured limits."""
        dataset = self.dataset
        for budget in budgets:
            problem = self.problem(budget)
            for name in names:
                run = engine.run(self._policy(name), problem)
                chosen = np.where(run.served, run.model, NONE)
                score, cost = (
                    estimate(Logged(dataset.model, dataset.propensity, reward), chosen, imputed)
                    for reward, imputed in (
                        (self._reward, self._scores),
                        (self._charge, self._costs),
                    )
                )
                yield PolicyResult(name, budget, run, problem, score, cost)

    def problem(self, budget: float) -> Problem:
        """Return the queries with known outcomes, imputed where unknown."""
        dataset = self.dataset
        costs = np.where(np.isfinite(dataset.costs), dataset.costs, self._costs)
        return Problem(
            catalog=self._catalog,
            ids=dataset.ids,
            tasks=[""] * len(dataset),
            limits=np.floor(self._limits * budget).astype(np.int64),
            scores=np.where(np.isfinite(dataset.scores), dataset.scores, self._scores),
            costs=np.ceil(costs).astype(np.int64),
            known=dataset.allowed,
            estimates=self._estimates,
            given=self._coverage,
        )

    def _policy(self, name: str) -> Policy:
        config = self._config
        if name == config.policy.name:
            policy = configured(config, self._catalog)
            # Its exploration would draw what the log drew: that agreement is no evidence.
            return policy.policy if isinstance(policy, Explore) else policy
        return make(name, self._catalog, config.policy.seed)

    def _estimates(self, kind: str) -> OfflineEstimates:
        if kind not in self._estimates_by_kind:
            if kind == "best":
                self._estimates_by_kind[kind] = OfflineEstimates(
                    self.dataset.quality, self.dataset.cost, *self._warm
                )
            else:
                none: list[str] = []  # only "best" looks at texts
                known = EstimationInputs(
                    self._history,
                    none,
                    self.dataset.vectors,
                    none,
                    PAPER_K,
                    self._config.policy.eagle.elo(),
                )
                self._estimates_by_kind[kind] = KINDS[kind](known)
        return self._estimates_by_kind[kind]


def _known_mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def uncounted(limits: LimitSet) -> list[str]:
    """Return the limits that a comparison of policies leaves out: all but money of all tenants."""
    return [one.name for one in limits.limits if one.unit != "currency" or one.tenants != "all"]


def _logged(outcomes: Floats, model: Ints) -> Floats:
    """Return each logged decision's outcome, float64[n]; 0 where it was to defer."""
    rows = np.arange(len(model))
    return np.where(model == NONE, 0.0, outcomes[rows, np.maximum(model, 0)])
