"""Spans of decisions and settlements."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.streams.routing.test_pipeline import VALUES, Log
from tests.support.desk import Desk, result
from tests.support.recorded import TOPICS, record
from tests.support.traces import PARENT, SPAN, TRACE, Memory

STEPS = ["prepare", "decide", "commit", "publish"]


@pytest.fixture
def log() -> Iterator[Log]:
    with ThreadPoolExecutor(1) as threads:
        yield Log(threads)


async def test_a_query_has_a_span_with_its_steps(log: Log, spans: Memory) -> None:
    """One each, in the order of the steps, and named by what the receipt says."""
    await log.run(log.pipeline())
    seen = spans.seen()
    queries = [span for span in seen if span.name == "route queries"]
    assert len(queries) == len(VALUES)
    assert len({span.trace for span in queries}) == len(VALUES)
    for query in queries:
        steps = [span for span in seen if span.parent == query.id]
        assert [step.name for step in steps] == STEPS
        times = [query.began, *(moment for step in steps for moment in (step.began, step.ended))]
        assert times == sorted(times)
        assert query.ended == times[-1]
    found = {span.attributes["sluice.decision.id"]: span.attributes for span in queries}
    assert found.keys() == log.receipts().keys()
    assert {each["sluice.decision"] for each in found.values()} >= {"routed", "rejected"}


async def test_messages_carry_the_span(log: Log, spans: Memory) -> None:
    """A worker's span is a child of the decision's; the receipt belongs to it, too."""
    await log.run(log.pipeline())
    ids = {
        span.attributes["sluice.decision.id"]: (span.trace, span.id)
        for span in spans.seen()
        if span.name == "route queries"
    }
    routed = [sent for sent in log.outbox.sent if sent.topic.startswith(TOPICS.routed(""))]
    assert routed
    for sent in routed:
        headers = dict(sent.headers)
        trace, span = ids[headers["sluice-decision-id"].decode()]
        assert headers["traceparent"].startswith(f"00-{trace}-{span}-".encode())
    parents = {dict(sent.headers)["traceparent"] for sent in log.outbox.of(TOPICS.receipts)}
    assert len(parents) == len(VALUES)


async def test_without_spans_a_trace_passes_through(log: Log) -> None:
    """And no header is made up."""
    await log.run(log.pipeline())
    assert not any("traceparent" in dict(sent.headers) for sent in log.outbox.sent)


async def test_a_settlement_continues_the_call(spans: Memory) -> None:
    """It says what became of the result; one that is refused is a failure."""
    desk = await Desk().open()
    good = record(0, result(0), TOPICS.results)
    good.headers = [("traceparent", PARENT.encode())]
    bad = record(1, b"no json", TOPICS.results)
    await desk.settler.settle(desk.partition, [good, bad])
    settled, refused = spans.seen()
    assert (settled.name, settled.trace, settled.parent) == (
        f"settle {TOPICS.results}",
        TRACE,
        SPAN,
    )
    assert settled.attributes["sluice.decision.id"] == "queries/0/0"
    assert (settled.failed, refused.failed) == (False, True)
    assert refused.attributes["error.type"] == "invalid_json"
