"""Results and rejections on their way out: what is sent where, and who hears of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError

from schemas import Rejected, Result, Start
from schemas.fields import Source
from schemas.invalid import missing
from schemas.wire import MAX_BYTES, decode
from streams.kafka.topics import Topics
from streams.worker.backends.base import succeeded
from streams.worker.consumer import WorkerError
from streams.worker.publisher import ResultPublisher
from tests.support.worker_place import TRACE, routed

Sent = tuple[str, bytes, bytes | None, int, list[Any]]


class Producer:
    """Keeps what it is given; `full` times its queue is full. Acknowledges when told."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.delivered: list[Callable[[KafkaError | None, Any], None]] = []
        self.full = 0
        self.polls: list[float] = []

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes | None,
        partition: int,
        on_delivery: Callable[[KafkaError | None, Any], None],
        headers: list[Any],
    ) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        self.sent.append((topic, value, key, partition, headers))
        self.delivered.append(on_delivery)

    def poll(self, timeout: float) -> None:
        self.polls.append(timeout)


class Record:
    """A message as the consumer has it."""

    def value(self) -> bytes:
        return b"no json"

    def key(self) -> bytes:
        return b"k"

    def headers(self) -> list[Any]:
        return [TRACE]


@pytest.fixture
def producer() -> Producer:
    return Producer()


@pytest.fixture
def publisher(producer: Producer) -> ResultPublisher:
    given: Any = producer
    return ResultPublisher(given, Topics())


def result(response: Any = None) -> Result:
    return Result(
        id="a", decision_id="decision a", model="m", status_code=200, cost=1, response=response
    )


def test_a_result_goes_to_its_query_s_partition(
    publisher: ResultPublisher, producer: Producer
) -> None:
    """Under its id, with its headers; who sent it hears when the broker has it, and not before."""
    heard: list[Result] = []
    query = routed("a", source=Source("queries", 2, 7))
    publisher.publish(query, [TRACE], result("yes"), heard.append)
    [(topic, value, key, partition, headers)] = producer.sent
    assert (topic, key, partition, headers) == ("results", b"a", 2, [TRACE])
    assert decode(Result, value) == result("yes")
    assert heard == []
    producer.delivered[0](None, None)
    assert heard == [result("yes")]


def test_too_long_a_result_goes_without_its_response(
    publisher: ResultPublisher, producer: Producer
) -> None:
    """What is heard of is what was sent."""
    heard: list[Result] = []
    publisher.publish(routed("a"), None, result("x" * MAX_BYTES), heard.append)
    producer.delivered[0](None, None)
    [sent] = heard
    assert decode(Result, producer.sent[0][1]) == sent
    assert (sent.response, sent.cost) == (None, 1)
    assert sent.error is not None
    assert sent.error.code == "RESPONSE_TOO_LARGE"


def test_a_bad_record_is_rejected_whole(publisher: ResultPublisher, producer: Producer) -> None:
    """With its bytes, key and headers, and what is wrong with it."""
    heard: list[int] = []
    record: Any = Record()
    publisher.reject(record, missing("id"), Source("routed.m", 1, 5), lambda: heard.append(1))
    [(topic, value, key, partition, headers)] = producer.sent
    assert (topic, key, partition, headers) == ("rejected", b"k", -1, [TRACE])
    rejected = decode(Rejected, value)
    assert (rejected.original(), rejected.field) == (b"no json", "id")
    assert rejected.source == Source("routed.m", 1, 5)
    producer.delivered[0](None, None)
    assert heard == [1]


def test_a_full_queue_is_waited_for(publisher: ResultPublisher, producer: Producer) -> None:
    """Acknowledgements are taken in meanwhile, and nothing is lost."""
    producer.full = 3
    publisher.publish(routed("a"), None, result(), lambda _: None)
    assert (len(producer.sent), len(producer.polls)) == (1, 3)


def test_a_refused_record_is_an_error(publisher: ResultPublisher, producer: Producer) -> None:
    """It names the topic, and nobody hears that the record has arrived."""
    heard: list[Result] = []
    publisher.publish(routed("a"), None, result(), heard.append)
    publisher.check()
    producer.delivered[0](KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), None)
    assert (heard, publisher.failed) == ([], True)
    with pytest.raises(WorkerError, match="topic results does not acknowledge"):
        publisher.check()


@pytest.mark.parametrize(
    "response",
    [float("nan"), "\ud800", {"a": object()}, json.loads("[" * 100 + "]" * 100)],
)
def test_what_the_router_would_refuse_goes_without_its_response(
    publisher: ResultPublisher, producer: Producer, response: Any
) -> None:
    """Status and cost are settled; the error says what was wrong."""
    query = routed("a")
    publisher.publish(query, [], succeeded(query, cost=3, response=response), lambda _: None)
    result = decode(Result, producer.sent[0][1])
    assert (result.status_code, result.cost, result.response) == (200, 3, None)
    assert result.error is not None
    assert result.error.code == "RESPONSE_UNREADABLE"


def test_a_result_that_is_none_is_charged_the_reservation(
    publisher: ResultPublisher, producer: Producer
) -> None:
    """A backend's mistake ends no worker."""
    query = routed("a")
    publisher.publish(query, [], succeeded(query, cost=-1), lambda _: None)
    result = decode(Result, producer.sent[0][1])
    assert (result.status_code, result.cost, result.estimated) == (502, query.reserved, True)


@pytest.mark.parametrize(("reason", "cut"), [("length", True), ("stop", False), (None, False)])
def test_a_result_says_whose_it_is(
    publisher: ResultPublisher, producer: Producer, reason: str | None, cut: bool
) -> None:
    """It carries what its query carried along, and whether the answer was cut."""
    asked = msgspec.structs.replace(routed("a"), tenant="shop", custom_id="7", metadata={"x": 1})
    answer = result({"choices": [{"finish_reason": reason}]} if reason else "words")
    publisher.publish(asked, [], answer, lambda result: None)
    sent = decode(Result, producer.sent[0][1])
    assert (sent.tenant, sent.custom_id, sent.metadata) == ("shop", "7", {"x": 1})
    assert sent.cut is cut


def test_partitions_that_were_added_are_asked_for(publisher: ResultPublisher) -> None:
    """Once they are needed; those that are known are not asked for again."""
    asked: list[str] = []
    counts = [3, 6]

    def list_topics(topic: str, timeout: float) -> Any:
        asked.append(topic)
        known = SimpleNamespace(partitions=dict.fromkeys(range(counts[len(asked) - 1])))
        return SimpleNamespace(topics={topic: known})

    producer: Any = publisher._producer
    producer.list_topics = list_topics
    for number, count in ((2, 3), (0, 3), (3, 6), (5, 6)):
        assert publisher.result_partitions(number) == count
    assert asked == ["results", "results"]


async def test_an_announcement_waits_for_its_acknowledgement(
    publisher: ResultPublisher, producer: Producer
) -> None:
    """It goes to the query's partition number."""
    waiting = asyncio.create_task(publisher.announce(routed("a", source=Source("queries", 2, 7))))
    while len(producer.polls) < 2:
        await asyncio.sleep(0)
    [(topic, value, key, partition, _)] = producer.sent
    assert (topic, key, partition) == ("starts", b"a", 2)
    assert decode(Start, value) == Start(id="a", decision_id="decision a", model="m")
    assert not waiting.done()
    producer.delivered[0](None, None)
    await waiting
