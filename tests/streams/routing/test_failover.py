"""What must hold of failover: the first decision ends, one other follows, whatever is killed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from router.budget.limits import LimitSet
from router.policies.primal_dual import PrimalDual
from schemas.result import TOO_LONG
from streams.kafka.logs import Logs, Record, Span
from streams.routing import failover as module
from streams.routing.arrivals import DECISION_ID, FAILOVER, TRIED, parse
from streams.routing.decide import DecisionContext, decide, estimate
from streams.routing.decider import Decider
from streams.routing.failover import Failover
from streams.routing.settlement import Settler
from streams.state.partition import Partition
from streams.state.rows import Row, row_key
from tests.support.desk import DECIDED, Desk, result
from tests.support.recorded import (
    CORE,
    FLEET,
    TOPICS,
    RecordedOutbox,
    new_metrics,
    open_partition,
    query,
)


class Log(Logs):
    """The topic `queries`, of which the first records may have gone."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.reads: list[Span] = []

    def spans(self, topic: str, *_: Any, **__: Any) -> list[Span]:
        return [Span(topic, 0, self.start, 3), Span(topic, 1, 0, 9)]

    def read(self, spans: Iterable[Span], *_: Any) -> Iterator[Record]:
        for span in spans:
            self.reads.append(span)
            for offset in range(span.start, span.end):
                headers = [("shop", b"7"), (DECISION_ID, b"x")]
                value = query(f"q{offset}", max_tokens=1)  # 400 nano-units are free of "large"
                yield Record(span.topic, span.partition, offset, 0, b"k", value, headers)


def failing(desk: Desk, attempts: int = 1) -> Desk:
    """The desk of a router whose queries may go to so many other models."""
    desk.settler = Settler(lambda: FLEET, desk.outbox, TOPICS, new_metrics(), attempts)
    return desk


def failover(desk: Desk, start: int = 0, log: Log | None = None) -> Failover:
    return Failover(log or Log(start), desk.outbox, TOPICS, lambda: [desk.partition])


def decided(partition: Partition, *records: Record) -> list[Row]:
    """The decisions on records of `deferred`."""
    decider = Decider(
        CORE, PrimalDual(FLEET), LimitSet.per_model(FLEET.names), np.ones(2, dtype=np.bool_)
    )
    arrivals = parse(records, FLEET, CORE.embedder, "deferred")
    context = DecisionContext(decider, "deferred", 2000.0, 100)
    rows = decide(estimate(CORE, arrivals), context, partition)
    return [rows[offset] for offset in sorted(rows)]


def deferred(desk: Desk) -> list[Record]:
    """What stands in `deferred`."""
    sent = desk.outbox.of(TOPICS.deferred)
    return [
        Record(TOPICS.deferred, 0, offset, 0, each.key, each.value or b"", each.headers)
        for offset, each in enumerate(sent)
    ]


async def test_a_failed_query_goes_to_another_model(desk: Desk) -> None:
    """Once, with its own headers; the failed call has been charged, and its id is not new."""
    failing(desk)
    desk.partition.remember({"q0": 0})
    await desk.settle(result(0, status_code=503, cost=7))
    assert desk.partition.ledger.spent.tolist() == [7, 0]
    assert desk.partition.recent.seen(["q0"]) == [True]
    passes = failover(desk)
    await passes.follow(desk.partition)
    await passes.follow(desk.partition)
    (record,) = deferred(desk)
    assert dict(record.headers) == {"shop": b"7", FAILOVER: b"queries/0/0", TRIED: b"small"}
    (row,) = decided(desk.partition, record)
    assert (row.receipt.model, row.receipt.tried) == ("large", ["small"])
    assert row.receipt.excluded == {"small": "has failed"}
    await desk.partition.commit({row_key("deferred", 0): row})
    assert open_partition(desk.outbox, desk.store).failovers == {}


async def test_another_copy_is_a_repetition(desk: Desk) -> None:
    """A kill before or after the second decision puts the query into `deferred` again."""
    await failing(desk).settle(result(0, status_code=503))
    await failover(desk).follow(desk.partition)
    desk.partition = open_partition(desk.outbox, desk.store)
    await failover(desk).follow(desk.partition)
    first, second = decided(desk.partition, *deferred(desk))
    assert first.receipt.decision != "duplicate"
    assert second.receipt.decision == "duplicate"
    await desk.partition.commit({})
    (again,) = decided(open_partition(desk.outbox, desk.store), deferred(desk)[1])
    assert again.receipt.decision == "duplicate"


@pytest.mark.parametrize(("gap", "reads"), [(1, [(0, 3)]), (0, [(0, 1), (2, 3)])], ids=str)
async def test_records_that_stand_together_are_read_together(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, gap: int, reads: list[tuple[int, int]]
) -> None:
    """What lies between is passed over; what lies far apart is read apart."""
    monkeypatch.setattr(module, "GAP", gap)
    await failing(desk).settle(result(0, status_code=503), result(2, "large", status_code=503))
    log = Log()
    await failover(desk, log=log).follow(desk.partition)
    assert [(span.start, span.end) for span in log.reads] == reads
    assert [one.value for one in deferred(desk)] == [query(f"q{n}", max_tokens=1) for n in (0, 2)]


async def test_many_are_put_off_in_parts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones need not wait for all to be read."""
    monkeypatch.setattr(module, "MOST", 2)
    await failing(desk).settle(*(result(n, status_code=503) for n in range(2)))
    await desk.settle(result(2, "large", status_code=503))
    passes = failover(desk)
    await passes.follow(desk.partition)
    assert len(deferred(desk)) == 2
    await passes.follow(desk.partition)
    assert len(deferred(desk)) == 3


async def test_a_settlement_that_was_cut_off_fails_nothing_over(desk: Desk) -> None:
    """The row may be in the changelog without the state that ends its decision."""
    desk.store.write(0, {b"fq%020d" % 0: b"{}"}, 99)
    assert open_partition(desk.outbox, desk.store).failovers == {}


async def test_the_last_failure_ends_the_query(desk: Desk) -> None:
    """After so many models its id may come again."""
    failing(desk, attempts=0)
    desk.partition.remember({"q0": 0})
    await desk.settle(result(0, status_code=503))
    assert desk.partition.failovers == {}
    assert desk.partition.recent.seen(["q0"]) == [False]


@pytest.mark.parametrize(
    "fields", [{"status_code": 400}, {"status_code": 422}, {"status_code": 200}], ids=str
)
async def test_what_is_the_query_s_own_fault_stays(desk: Desk, fields: dict[str, Any]) -> None:
    """Another server would say the same."""
    await failing(desk).settle(result(0, **fields))
    assert desk.partition.failovers == {}


async def test_a_record_that_has_left_the_log_is_rejected(desk: Desk) -> None:
    """Nobody knows what was asked any more; the query ends, and its id may come again."""
    await failing(desk).settle(result(0, status_code=503))
    await failover(desk, start=1).follow(desk.partition)
    assert deferred(desk) == []
    (rejected,) = desk.rejected()
    assert (rejected.id, "left the log" in rejected.reason) == ("q0", True)
    assert open_partition(RecordedOutbox(), desk.store).failovers == {}


def test_clients_cannot_say_what_was_tried() -> None:
    """On `queries` our headers count nothing."""
    headers = [(TRIED, b"small"), (FAILOVER, b"queries/0/0")]
    record = Record("queries", 0, 0, 0, b"k", query("a"), headers)
    (arrival,) = parse([record], FLEET, CORE.embedder)
    assert (arrival.tried, arrival.failover_of) == ((), None)


async def test_what_could_not_be_called_is_decided_again(desk: Desk) -> None:
    """At the release of its reservation, whatever failover is allowed, by the same models; nobody
    hears of an end, its id is not new, and a kill costs another copy only."""
    desk.partition.remember({"q1": 1})
    desk.returned = {"queries/0/1"}
    await desk.expire(DECIDED + 60.0)
    assert desk.money() == ([0, 0], [0, 0])
    assert [one.id for one in desk.rejected()] == ["q0", "q2"]
    assert desk.partition.recent.seen(["q1"]) == [True]
    desk.partition = open_partition(desk.outbox, desk.store)
    await failover(desk).follow(desk.partition)
    desk.partition = open_partition(desk.outbox, desk.store)
    await failover(desk).follow(desk.partition)
    assert dict(deferred(desk)[0].headers) == {"shop": b"7", FAILOVER: b"queries/0/1"}
    first, second = decided(desk.partition, *deferred(desk))
    assert (first.receipt.decision, first.receipt.tried) == ("routed", [])
    assert second.receipt.decision == "duplicate"
    await desk.partition.commit({row_key("deferred", 0): first})
    assert open_partition(desk.outbox, desk.store).failovers == {}


async def test_what_no_worker_has_begun_is_decided_again_where_all_announce(desk: Desk) -> None:
    """What one has begun is held all the same; elsewhere it may be in flight unannounced."""
    desk.begun = {"queries/0/0"}
    await desk.expire(DECIDED + 60.0, unbegun_again=True)
    assert [(one.id, "is held" in one.reason) for one in desk.rejected()] == [("q0", True)]
    await failover(desk).follow(desk.partition)
    again = [dict(record.headers)[FAILOVER] for record in deferred(desk)]
    assert again == [b"queries/0/1", b"queries/0/2"]


async def test_what_was_too_long_for_a_pool_may_go_to_the_next(desk: Desk) -> None:
    """Its model has not failed: the header names the pool."""
    failing(desk)
    row = desk.partition.row(row_key("queries", 0))
    assert row is not None
    pooled = structs.replace(row, receipt=structs.replace(row.receipt, pool="short"))
    await desk.partition.commit({row_key("queries", 0): pooled})
    await desk.settle(result(0, status_code=400, error={"code": TOO_LONG, "message": "no"}))
    await failover(desk).follow(desk.partition)
    (record,) = deferred(desk)
    assert dict(record.headers)[TRIED] == b"small.short"
    (again,) = decided(desk.partition, record)
    assert again.receipt.tried == ["small.short"]
    assert again.receipt.excluded == {}
