"""All that the log says of one query: itself, its decisions, what became of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.policies.corrections import by_model
from schemas import Invalid, Prices, Query, Receipt, Rejected, Result
from schemas.result import read_result
from schemas.wire import decode
from streams.kafka.logs import Logs, Record, Span
from streams.kafka.topics import Topics


@dataclass(slots=True)
class Explanation:
    """What is known of one query.

    Attributes:
        id: The query's id.
        query: Itself; None where its record is gone, or is no query.
        receipts: Its decisions, in order.
        prices: Price of each model's nano-unit, by version: those that decisions were taken with
            and that the log still has.
        corrections: By version, what outcomes add to a model's estimated score, and multiply its
            estimated cost by.
        busy_pools: By version, the pools that queries spilled from.
        results: What models answered, in order.
        rejections: Records of it that were refused, in order.
    """

    id: str
    query: Query | None = None
    receipts: list[Receipt] = field(default_factory=list)
    prices: dict[int, Mapping[str, float]] = field(default_factory=dict)
    corrections: dict[int, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    busy_pools: dict[int, list[str]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    rejections: list[Rejected] = field(default_factory=list)

    def waits(self) -> str | None:
        """What the query waits for, in words; None where it has ended, or is not decided."""
        if not self.receipts or self.rejections:
            return None
        last = self.receipts[-1]
        if last.decision == "deferred":
            return "it waits: it is decided again until its deadline"
        ended = {result.decision_id for result in self.results}
        if last.decision == "routed" and last.decision_id not in ended:
            return f"no result yet: it waits for {last.model}, or its reservation has expired"
        return None

    def scores(self, receipt: Receipt) -> dict[str, float]:
        """Estimated quality less price times estimated cost, as they are corrected, by model; empty
        without prices."""
        prices = self.prices.get(receipt.price_version)
        if prices is None:
            return {}
        corrections, found = self.corrections.get(receipt.price_version, {}), {}
        for model, quality in receipt.quality.items():
            shift, factor = corrections.get(model, (0.0, 1.0))
            cost = factor * receipt.cost.get(model, 0)
            found[model] = min(max(quality + shift, 0.0), 1.0) - prices.get(model, 0.0) * cost
        return found

    def short_of_money(self, receipt: Receipt) -> list[str]:
        """Models that scored higher than what was chosen: their limits had no room."""
        if receipt.reason not in ("next_best", "no_budget"):
            return []
        scores = self.scores(receipt)
        least = scores.get(receipt.model, 0.0) if receipt.model is not None else 0.0
        return [model for model, score in scores.items() if score > max(least, 0.0)]


def explain(logs: Logs, topics: Topics, id: str) -> Explanation:
    """Read all that the log says of a query.

    Receipts, results and rejections are keyed by the query's id, so one partition of each topic is
    read, and of `results` only what came after the first decision.

    Raises:
        BrokerError: A topic is missing.
    """
    found, key = Explanation(id), id.encode()
    for record in _of_key(logs, logs.spans(topics.receipts), key):
        _add(found.receipts, lambda: decode(Receipt, record.value))  # noqa: B023
    found.receipts = _once(found.receipts)
    for record in _of_key(logs, logs.spans(topics.rejected), key):
        _add(found.rejections, lambda: _rejected(record))  # noqa: B023
    if found.receipts:
        source = found.receipts[0].source
        for record in logs.read([Span(source.topic, *_place(source.partition, source.offset))]):
            found.query = _query(record)
        spans = logs.spans(topics.results)
        there = [span for span in spans if span.partition == source.partition]
        first = min(receipt.results_offset for receipt in found.receipts)
        wanted = [span._replace(start=max(span.start, first)) for span in there]
        for record in logs.read(wanted):
            if record.key == key:
                _add(found.results, lambda: read_result(record.value))  # noqa: B023
        versions = {(receipt.policy, receipt.price_version) for receipt in found.receipts}
        _add_prices(found, logs, topics, versions)
    return found


def _of_key(logs: Logs, spans: Sequence[Span], key: bytes) -> Iterator[Record]:
    """The records of a key, from the partition that our producers put them into."""
    number = zlib.crc32(key) % len(spans)
    chosen = [span for span in spans if span.partition == number]
    return (record for record in logs.read(chosen) if record.key == key)


def _add_prices(
    found: Explanation, logs: Logs, topics: Topics, versions: set[tuple[str, int]]
) -> None:
    """Add the prices of these policies and versions, and what came with them."""
    for record in logs.read(logs.spans(topics.prices)):
        try:
            prices = decode(Prices, record.value)
        except Invalid:
            continue
        if (prices.policy, prices.version) not in versions:
            continue
        found.busy_pools[prices.version] = prices.busy_pools
        held: Any = prices.state.get("prices")
        if isinstance(held, dict):
            found.prices[prices.version] = held
            found.corrections[prices.version] = by_model(prices.state.get("corrections", {}))


def _once(receipts: Sequence[Receipt]) -> list[Receipt]:
    """A receipt may come twice, after a crash."""
    return list({receipt.decision_id: receipt for receipt in receipts}.values())


def _place(partition: int, offset: int) -> tuple[int, int, int]:
    return partition, offset, offset + 1


def _query(record: Record) -> Query | None:
    try:
        return decode(Query, record.value)
    except Invalid:
        return None


def _rejected(record: Record) -> Rejected:
    return decode(Rejected, record.value, len(record.value or b""))


def _add(into: list[Any], read: Any) -> None:
    try:
        into.append(read())
    except Invalid:
        return
