"""What a router process tells Prometheus. Sums over processes are sums over their partitions."""

from __future__ import annotations

from collections import Counter as Counting
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import time
from typing import NamedTuple, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.budget.ledger import Ledger, owner
from schemas import Code, Receipt
from schemas.fields import NANO, Unit
from streams.kafka.producer import Headers
from streams.metrics.exemplars import exemplar
from streams.metrics.floors import FloorMetrics
from streams.metrics.health import WELL, Health
from streams.metrics.server import serve
from streams.state.rows import Log

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histogram's buckets, seconds."""
STAGES = ("fetch", "wait", "prepare", "turn", "decide", "write_ahead", "publish")
"""What a chunk of queries goes through, in this order."""
STAGE = (0.001, 0.0025, *LATENCY[:-2])
REASONS: Mapping[str, Sequence[str]] = {
    "routed": ("best", "next_best", "warmup", "explore"),
    "deferred": ("not_worth", "no_budget"),
    "rejected": get_args(Code),
    "duplicate": ("seen_before",),
}
"""Of each kind of decision, the reasons that are there at 0 before one of them comes."""


@dataclass(frozen=True, slots=True)
class Live:
    """The state of a process at the moment of a scrape.

    Args:
        ledgers: Of the partitions that it owns.
        waiting: Deferred queries of these.
        prices: Quality per nano-unit (token, request) by limit, where the policy has any.
        price_version: Of these prices.
        history: Queries in the index.
        limits: Amounts by account, of the whole deployment.
        units: What limits count that are not a model's own, by name.
        window_ends: Unix seconds by model, of budget windows that end.
        backlog: By owned partition, records of `queries` that are not decided yet.
        partitions: Of the topic `queries`, whoever owns them.
        unread: Further partitions of it that no router reads.
        pools: Queries that wait for a result of each token pool (`model.pool`) on these partitions.
        busy_pools: The pools that queries spill from.
    """

    ledgers: Sequence[Ledger]
    waiting: int
    prices: Mapping[str, float]
    price_version: int
    history: int
    limits: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    window_ends: Mapping[str, float] = field(default_factory=dict)
    backlog: Mapping[int, int] = field(default_factory=dict)
    partitions: int = 0
    unread: int = 0
    pools: Mapping[str, int] = field(default_factory=dict)
    busy_pools: Collection[str] = ()


class Published(NamedTuple):
    """A decision that has been published.

    Attributes:
        timestamp: Of the decided record, milliseconds since 1970.
        receipt: Of the decision.
        headers: Of its record, with the trace that it belongs to.
    """

    timestamp: int
    receipt: Receipt
    headers: Headers = ()


class Metrics:
    """Counts what leaves, and reads the rest when it is asked."""

    def __init__(
        self,
        models: Iterable[str],
        live: Callable[[], Live],
        clock: Callable[[], float] = time,
    ) -> None:
        """clock: Unix seconds, for the ages of backlogs."""
        self._registry = CollectorRegistry()
        self._decisions = Counter(
            "sluice_route_decisions_total",
            "Decisions that have left; of a query that waits, the first and the last.",
            ("decision", "model", "reason"),
            registry=self._registry,
        )
        self._latency = Histogram(
            "sluice_route_latency_seconds",
            "From the making of a query's record until its decision has left.",
            buckets=LATENCY,
            registry=self._registry,
        )
        self._stages = self._stages_by_name()
        self._results = Counter(
            "sluice_results_total",
            "Results that were settled (ok, failed) or were none (rejected).",
            ("model", "status"),
            registry=self._registry,
        )
        self._late = self._by_model(
            "sluice_late_answers_total",
            "Answers that came after their reservation had been released at its deadline.",
        )
        words = "Answers to decisions that have ended; one of each is charged."
        self._repeated = self._by_model("sluice_repeated_answers_total", words)
        self._overcharged = self._by_model(
            "sluice_overcharged_answers_total",
            "Answers that cost more than was reserved for them; late ones too.",
        )
        self._excess = self._by_model(
            "sluice_overcharged_nano_total",
            "What these answers cost above their reservations, nano-units.",
        )
        self._floors = FloorMetrics(self._registry)
        self._standing = _Standing(live, clock)
        self._registry.register(self._standing)
        for model in models:
            self.know(model)
        self._know_reasons()
        self._results.labels("", "rejected")

    def _know_reasons(self) -> None:
        """Show the counts of decisions that go to no model, 0 as yet."""
        for decision, reasons in REASONS.items():
            for reason in reasons:
                if decision != "routed":
                    self._decisions.labels(decision, "", reason)

    def _by_model(self, name: str, words: str) -> Counter:
        return Counter(name, words, ("model",), registry=self._registry)

    def _stages_by_name(self) -> dict[str, Histogram]:
        stages = Histogram(
            "sluice_route_stage_seconds",
            "What a chunk of queries spends in each stage, the time of its oldest query.",
            ("stage",),
            buckets=STAGE,
            registry=self._registry,
        )
        return {stage: stages.labels(stage) for stage in STAGES}

    def know(self, model: str) -> None:
        """Show a model's counts, 0 as yet."""
        for reason in REASONS["routed"]:
            self._decisions.labels("routed", model, reason)
        for status in ("ok", "failed"):
            self._results.labels(model, status)
        for counter in (self._late, self._repeated, self._overcharged, self._excess):
            counter.labels(model)

    def know_all(self, models: Iterable[str]) -> None:
        """Show the counts of several models."""
        for model in models:
            self.know(model)

    def decided(self, log: Log, published: Iterable[Published], now: float) -> None:
        """Count decisions that have been published.

        Args:
            log: The log of the decided records.
            published: Of each record.
            now: Unix seconds.
        """
        counted: Counting[tuple[str, str, str]] = Counting()
        floors: list[Receipt] = []
        for timestamp, receipt, headers in published:
            if log == "queries":
                made = timestamp / 1000
                self._standing.decided(receipt.source.partition, made)
                self._latency.observe(max(now - made, 0.0), exemplar(headers))
            elif receipt.decision == "deferred":
                continue  # it waits on
            counted[receipt.decision, receipt.model or "", receipt.reason] += 1
            floors.append(receipt)
        self._floors.decided(floors)
        for labels, count in counted.items():
            self._decisions.labels(*labels).inc(count)

    def stage(self, stage: str, seconds: float) -> None:
        """Count what a chunk of queries has spent in one of `STAGES`."""
        self._stages[stage].observe(max(seconds, 0.0))

    def settled(self, results: Iterable[tuple[str, str]]) -> None:
        """Count a chunk of results: (model or "", status)."""
        for labels, count in Counting(results).items():
            self._results.labels(*labels).inc(count)

    def overcharged(self, late: Iterable[str], excess: Iterable[tuple[str, int]]) -> None:
        """Count answers beyond their reservations.

        Args:
            late: Models of answers that came after the release.
            excess: Model and nano-units of each charge above its reservation.
        """
        for model in late:
            self._late.labels(model).inc()
        for model, nano in excess:
            self._overcharged.labels(model).inc()
            self._excess.labels(model).inc(nano)

    def repeated(self, models: Iterable[str]) -> None:
        """Count answers to decisions that have ended, by model."""
        for model, count in Counting(models).items():
            self._repeated.labels(model).inc(count)

    def serve(self, host: str, port: int, health: Health = WELL) -> Callable[[], None]:
        """Serve metrics and probes over HTTP; see `streams.metrics.server.serve`."""
        return serve(self._registry, host, port, health)


class _Standing(Collector):
    """What is read at each scrape: accounts, prices, what waits."""

    def __init__(self, live: Callable[[], Live], clock: Callable[[], float]) -> None:
        self._live = live
        self._clock = clock
        self._latest: dict[int, float] = {}

    def decided(self, partition: int, made: float) -> None:
        """Remember when the last decided record of a partition was made, Unix seconds."""
        self._latest[partition] = made

    def collect(self) -> Iterator[Metric]:
        """Read the state of this process's partitions."""
        live = self._live()
        yield from _accounts(live)
        yield from _prices(live)
        yield from _pools(live)
        for name, words, value in (
            ("sluice_price_version", "Of the prices in use; 0 are made from history.",
             live.price_version),
            ("sluice_deferred_waiting", "Queries that wait on these partitions.", live.waiting),
            ("sluice_partitions", "Partitions that this process owns.", len(live.ledgers)),
            ("sluice_topic_partitions", "Partitions of the queries, whoever owns them.",
             live.partitions),
            ("sluice_topic_partitions_unread",
             "Partitions of the queries that no router reads, as not all topics have them.",
             live.unread),
            ("sluice_index_queries", "Queries of the past in the index.", live.history),
            ("sluice_route_backlog", "Queries on these partitions that are not decided yet.",
             sum(live.backlog.values())),
            ("sluice_route_backlog_age_seconds", "How long the oldest of them has been there.",
             self._age(live.backlog)),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, words, value)

    def _age(self, backlog: Mapping[int, int]) -> float:
        """Seconds since the last decided record before a backlog was made: the next is younger.

        Where none has been decided here, seconds since the first scrape that found a backlog.
        """
        now = self._clock()
        behind = [number for number, count in backlog.items() if count > 0]
        return max((now - self._latest.setdefault(number, now) for number in behind), default=0.0)


def _accounts(live: Live) -> Iterator[Metric]:
    """Yield the accounts of a process's partitions, summed, and the limits they are shares of."""
    sums: dict[str, list[int]] = {}
    for ledger in live.ledgers:
        free = ledger.free().tolist()
        accounts = zip(
            list(ledger.names), ledger.share.tolist(), ledger.spent.tolist(),
            ledger.reserved.tolist(), free, strict=False,
        )  # fmt: skip
        for name, *amounts in accounts:
            before = sums.get(name, [0, 0, 0, 0])
            sums[name] = [a + b for a, b in zip(before, amounts, strict=True)]
    for place, (what, words) in enumerate(
        (
            ("share", "Granted to the partitions of this process"),
            ("spent", "Charged in the present window"),
            ("reserved", "Held for answers that are awaited"),
            ("remaining", "What may still be reserved"),
        )
    ):
        yield from _by_account(
            live, what, words, {name: each[place] for name, each in sums.items()}
        )
    words = "What may be spent in a window: the same from every process"
    yield from _by_account(live, "limit", words, live.limits)
    end = GaugeMetricFamily(
        "sluice_budget_window_end_timestamp_seconds",
        "When the present window of a model's budget ends; absent for one that never does.",
        labels=("model",),
    )
    for model, moment in live.window_ends.items():
        if model not in live.units:
            end.add_metric((model,), moment)
    yield end


def _by_account(
    live: Live, what: str, words: str, amounts: Mapping[str, int]
) -> Iterator[GaugeMetricFamily]:
    """Yield amounts of models' budgets, and those of other limits."""
    budget = GaugeMetricFamily(
        f"sluice_budget_{what}", f"{words}, in units of currency.", labels=("model", "tenant")
    )
    other = GaugeMetricFamily(
        f"sluice_limit_{what}",
        f"{words}, in the limit's unit.",
        labels=("limit", "tenant", "unit"),
    )
    for account, amount in amounts.items():
        name, tenant = owner(account)
        unit = live.units.get(name)
        value = amount / NANO if unit in (None, "currency") else amount
        if unit is None:
            budget.add_metric((name, tenant or ""), value)
        else:
            other.add_metric((name, tenant or "", unit), value)
    yield budget
    yield other


def _prices(live: Live) -> Iterator[GaugeMetricFamily]:
    """Yield what a unit of each limit is worth in answer quality."""
    price = GaugeMetricFamily(
        "sluice_dual_price",
        "What a unit of the model's budget is worth in answer quality.",
        labels=("model",),
    )
    other = GaugeMetricFamily(
        "sluice_limit_price",
        "What a unit of the limit is worth in answer quality.",
        labels=("limit", "tenant", "unit"),
    )
    for account, value in live.prices.items():
        name, tenant = owner(account)
        unit = live.units.get(name)
        if unit is None and tenant is None:
            price.add_metric((name,), value * NANO)
        elif unit is not None:
            each = value * NANO if unit == "currency" else value
            other.add_metric((name, tenant or "", unit), each)
    yield price
    yield other


def _pools(live: Live) -> Iterator[GaugeMetricFamily]:
    """Yield what is under way in token pools, and which are too busy for more."""
    words = "Queries that wait for a result of a token pool."
    waiting = GaugeMetricFamily("sluice_pool_in_flight", words, labels=("pool",))
    words = "1 where queries spill from a token pool to a longer one, else 0."
    busy = GaugeMetricFamily("sluice_pool_busy", words, labels=("pool",))
    for pool, count in live.pools.items():
        waiting.add_metric((pool,), count)
        busy.add_metric((pool,), pool in live.busy_pools)
    yield waiting
    yield busy
