"""What must hold of what leaves: the client's headers stay, and ours are those of the decision."""

from __future__ import annotations

from types import SimpleNamespace

from schemas import Query, Receipt, Result, Routed, Source
from schemas.wire import decode
from streams.kafka.topics import Topics
from streams.routing.arrivals import DECISION_ID, Arrival
from streams.routing.publish import publish
from streams.state.rows import Row
from tests.support.recorded import RecordedOutbox

TOPICS = Topics()


async def test_a_query_that_waits_does_not_gather_headers() -> None:
    """Put into `deferred` again it has its own headers, and one decision's: that of the last."""
    query = Query(id="a", prompt="x")
    headers = [("traceparent", b"00-1"), ("shop", b"7"), (DECISION_ID, b"queries/0/3")]
    record = SimpleNamespace(value=b"{}", headers=headers)
    arrival = Arrival(record, Source(TOPICS.deferred, 0, 9), query)
    receipt = Receipt(
        id="a",
        decision_id=arrival.decision_id,
        decision="deferred",
        reason="not_worth",
        policy="primal-dual",
        source=arrival.source,
        decided_at=1.0,
    )
    outbox = RecordedOutbox()
    batch = outbox.batch()
    publish(batch, TOPICS, arrival, Row(receipt=receipt))
    await batch.delivered()
    (deferred,), (told,) = outbox.of(TOPICS.deferred), outbox.of(TOPICS.receipts)
    assert [value for name, value in deferred.headers if name == DECISION_ID] == [b"deferred/0/9"]
    assert ("shop", b"7") in deferred.headers
    assert told.headers == [("traceparent", b"00-1")]


async def test_a_routed_message_says_until_when_it_may_be_started() -> None:
    """As its row does, so that it is the same each time; rows of older routers say nothing."""
    query = Query(id="a", prompt="x")
    arrival = Arrival(SimpleNamespace(value=b"{}", headers=None), Source("queries", 0, 9), query)
    receipt = Receipt(
        id="a",
        decision_id=arrival.decision_id,
        decision="routed",
        reason="best",
        policy="primal-dual",
        source=arrival.source,
        decided_at=1.0,
        model="m",
    )
    for row, told in (
        (Row(receipt=receipt, release_at=9.0, end_by=8.0, start_by=7.0), (7.0, 8.0)),
        (Row(receipt=receipt), (None, None)),
    ):
        outbox = RecordedOutbox()
        batch = outbox.batch()
        publish(batch, TOPICS, arrival, row)
        await batch.delivered()
        (sent,) = outbox.of(TOPICS.routed("m"))
        routed = decode(Routed, sent.value)
        assert (routed.start_by, routed.release_at) == told


async def test_a_duplicate_is_told_so_on_results() -> None:
    """With the decision on the first; what a kill has put into `deferred` twice is not."""
    query = Query(id="a", prompt="x")
    arrival = Arrival(SimpleNamespace(value=b"{}", headers=None), Source("queries", 3, 9), query)
    receipt = Receipt(
        id="a",
        decision_id=arrival.decision_id,
        decision="duplicate",
        reason="seen_before",
        policy="primal-dual",
        source=arrival.source,
        decided_at=1.0,
    )
    outbox = RecordedOutbox()
    batch = outbox.batch()
    publish(batch, TOPICS, arrival, Row(receipt=receipt))
    publish(batch, TOPICS, arrival, Row(receipt=receipt, duplicate_of="queries/3/4"))
    await batch.delivered()
    (sent,) = outbox.of(TOPICS.results)
    result = decode(Result, sent.value)
    assert (sent.partition, result.status_code, result.decision_id) == (3, 409, "queries/3/9")
    assert result.error is not None
    assert result.error.code == "DUPLICATE"
    assert "queries/3/4" in result.error.message
