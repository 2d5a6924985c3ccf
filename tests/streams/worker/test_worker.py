"""What a worker promises, on either broker: every routed query gets one result, whatever happens
to the worker, and nothing is committed before its result is acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from confluent_kafka import KafkaError

from schemas import Rejected, Result
from schemas.fields import Source
from schemas.wire import MAX_BYTES, decode, encode
from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from streams.kafka.topics import Topics
from streams.worker import consumer
from streams.worker.backends.base import DEADLINE_EXCEEDED, failed
from streams.worker.consumer import WorkerError
from streams.worker.worker import GRACE
from tests.support.faulty_broker import FaultyBroker, Request
from tests.support.patience import PATIENCE
from tests.support.worker_place import TRACE, Model, Place, routed


@pytest.fixture
async def place(broker: Broker, prefix: str) -> AsyncIterator[Place]:
    made = Place(broker, prefix)
    async with asyncio.timeout(2 * PATIENCE):
        yield made
    for stop, _ in made.running:
        stop.set()
    await asyncio.gather(*(task for _, task in made.running), return_exceptions=True)
    made.records.close()


@pytest.fixture
def model() -> Model:
    return Model()


async def test_each_query_gets_one_result_at_its_own_partition(place: Place, model: Model) -> None:
    """Results go to the query's partition number, under its id, with its headers."""
    for number in range(60):
        place.route(str(number), partition=number % 2, source=Source("queries", number % 3, 0))
    task = place.start(model)
    await place.answered(*map(str, range(60)))
    await place.stop(task)
    records = await place.read(place.results)
    results = [decode(Result, record.value) for record in records]
    assert Counter(result.id for result in results) == {str(n): 1 for n in range(60)}
    for record, result in zip(records, results, strict=True):
        assert record.partition == int(result.id) % 3
        assert record.key == result.id.encode()
        assert record.headers == dict([TRACE])
        assert result.decision_id == f"decision {result.id}"
    assert [await place.committed(0), await place.committed(1)] == [30, 30]
    assert model.closed


async def test_a_record_that_comes_again_has_one_result(place: Place, model: Model) -> None:
    """A decision is asked once, while it is in flight and after it was answered."""
    model.held.add("a")
    place.route("a", "a", "b")
    place.route("a", partition=1)
    task = place.start(model)
    await place.until(lambda: place.made[0].unanswered == 1 and "b" in model.asked)
    model.held.clear()
    await place.answered("a", "b")
    place.route("a", "b", "c")
    await place.answered("c")
    await place.stop(task)
    assert sorted(model.asked) == ["a", "b", "c"]
    assert sorted(result.id for result in await place.answers()) == ["a", "b", "c"]
    assert [await place.committed(0), await place.committed(1)] == [6, 1]


async def test_nothing_is_committed_before_it_is_answered(place: Place, model: Model) -> None:
    """An offset waits for the slowest record before it, and for no other partition's."""
    model.held.add("slow")
    place.route("first", "slow", "quick")
    task = place.start(model)
    await place.answered("first", "quick")
    place.route("other", partition=1)
    await place.until_committed(1, partition=1)  # so a commit was made after "quick" ended
    assert await place.committed(0) == 1
    model.held.clear()
    await place.until_committed(3)
    await place.stop(task)


async def test_calls_are_bounded_and_so_is_what_waits(place: Place, model: Model) -> None:
    """Never more calls than `concurrency`; what does not fit stays with the broker."""
    ids = [str(number) for number in range(100)]
    model.held.update(ids)
    place.route(*ids)
    task = place.start(model, concurrency=2, backlog=5)
    await place.until(lambda: model.running == 2 and place.made[0].unanswered >= 7)
    for number in range(50):  # turns of the event loop in which it could take more
        await asyncio.sleep(0.01)
        assert place.made[0].unanswered <= 2 + 2 * 5, number
    model.held.clear()
    await place.answered(*ids)
    await place.stop(task)
    assert model.most == 2
    assert len(await place.answers()) == 100


async def test_a_late_query_is_not_asked(place: Place, model: Model) -> None:
    """Its result says so, and costs nothing."""
    place.route("late", deadline=1000.0)
    place.route("early", deadline=3000.0)
    task = place.start(model, clock=lambda: 2000.0)
    results = {result.id: result for result in await place.answered("late", "early")}
    await place.stop(task)
    late = results["late"]
    assert (late.status_code, late.cost) == (504, 0)
    assert late.error is not None
    assert late.error.code == DEADLINE_EXCEEDED
    assert results["early"].status_code == 200
    assert model.asked == ["early"]


async def test_bad_records_are_rejected_and_the_worker_goes_on(place: Place, model: Model) -> None:
    """Each bad one is in `rejected` with its bytes and a reason; the good ones are answered."""
    bad = {
        b"no json": ("invalid_json", None),
        b"": ("empty", None),
        b'{"id": "x"}': ("missing_field", "decision_id"),
        encode(routed("x", model="other")): ("invalid_field", "model"),
        encode(routed("x", source=Source("queries", 9, 0))): ("invalid_field", "source.partition"),
    }
    for value in bad:
        place.send(value)
    place.send(None)
    place.route("good")
    task = place.start(model)
    await place.answered("good")
    await place.until_committed(len(bad) + 2)
    await place.stop(task)
    records = await place.read(place.rejected)
    rejected = [decode(Rejected, record.value) for record in records]
    assert [m.source.offset for m in rejected] == list(range(len(bad) + 1))
    for message in rejected[:-1]:
        assert (message.code, message.field) == bad[message.original()]
        assert message.source.topic == place.routed
    assert all(record.headers == dict([TRACE]) for record in records)
    assert model.asked == ["good"]


async def test_a_stop_lets_calls_end_and_begins_none(place: Place, model: Model) -> None:
    """Calls in flight are answered and committed; what waited is the next worker's."""
    ids = [str(number) for number in range(10)]
    model.held.update(ids)
    place.route(*ids)
    task = place.start(model, concurrency=3)
    await place.until(lambda: model.running == 3)
    place.running[0][0].set()
    await place.until(lambda: place.made[0].unanswered == 3)
    assert not task.done()
    model.held.clear()
    await place.stop(task)
    assert sorted(result.id for result in await place.answers()) == ["0", "1", "2"]
    assert await place.committed() == 3
    next_one = place.start(Model())
    await place.answered(*ids)
    await place.stop(next_one)
    assert len(await place.answers()) == 10


async def test_a_second_worker_takes_over_a_part(place: Place) -> None:
    """Partitions move without a lost answer while queries come; without a doubled one either,
    where the broker takes commits in a rebalance (the embedded one refuses them)."""
    one, two = Model(), Model()
    ids = [str(number) for number in range(400)]
    first = place.start(one)
    second: asyncio.Task[None] | None = None
    for number, id in enumerate(ids):
        place.route(id, partition=number % 2)
        if number == 100:
            second = place.start(two)
        await asyncio.sleep(0.002)
    extra = 0
    while not two.asked:  # until it has its part
        ids.append(f"extra {extra}")
        place.route(ids[-1], partition=extra % 2)
        extra += 1
        place.check()
        await asyncio.sleep(0.02)
    assert second is not None
    await place.stop(first)
    place.route("last", partition=0)
    place.route("last too", partition=1)
    await place.answered(*ids, "last", "last too")
    await place.stop(second)
    asked = Counter(one.asked) + Counter(two.asked)
    assert asked.keys() == {*ids, "last", "last too"}
    assert Counter(result.id for result in await place.answers()) == asked
    if not isinstance(place.broker, EmbeddedBroker):
        assert max(asked.values()) == 1


async def test_a_broken_backend_ends_the_worker(place: Place, model: Model) -> None:
    """Its error is passed on, and the query is left for a worker that can answer."""
    model.broken = "the disk is full"
    place.route("a")
    with pytest.raises(RuntimeError, match="the disk is full"):
        await place.start(model)
    assert model.closed
    place.running.clear()
    assert await place.committed() < 1
    task = place.start(Model())
    await place.answered("a")
    await place.stop(task)


async def test_an_absent_server_ends_no_query(
    place: Place, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    """While it is away the worker probes it, takes no more, and ends what is late; then it
    answers all, and nothing is committed before."""
    model.away = "cannot connect"
    ids = [str(number) for number in range(30)]
    place.route("late", deadline=time.time() + 2.0)
    place.route(*ids)
    task = place.start(model, concurrency=4)
    await place.until(lambda: len(model.asked) >= 2)
    assert not place.made[0].backend_is_up
    [late] = await place.answered("late")
    assert (late.status_code, late.cost) == (504, 0)
    place.route("more")
    assert {result.id for result in await place.answers()} == {"late"}
    assert await place.committed() <= 1
    probes = len(model.asked)
    assert probes < 15
    model.away = None
    results = await place.answered(*ids, "more")
    await place.stop(task)
    assert {result.status_code for result in results if result.id != "late"} == {200}
    assert place.made[0].backend_is_up
    assert await place.committed() == 32
    said = [record.message for record in caplog.records if "its server" in record.message]
    assert ["takes no calls (cannot connect)" in line for line in said] == [True, False]


async def test_a_stop_does_not_wait_for_an_absent_server(place: Place, model: Model) -> None:
    """What has cost nothing is left for the next worker."""
    model.away = "cannot connect"
    place.route("a", "b")
    task = place.start(model)
    await place.until(lambda: bool(model.asked))
    await asyncio.wait_for(place.stop(task), GRACE / 2)
    assert await place.answers() == []
    next_one = place.start(Model())
    await place.answered("a", "b")
    await place.stop(next_one)


async def test_too_large_an_answer_is_told(place: Place, model: Model) -> None:
    """The result keeps status and cost, and says why the response is not there."""
    model.response = "x" * MAX_BYTES
    place.route("a")
    task = place.start(model)
    [result] = await place.answered("a")
    await place.stop(task)
    assert result.response is None
    assert result.cost == 1
    assert result.error is not None
    assert result.error.code == "RESPONSE_TOO_LARGE"


@pytest.mark.parametrize("which", ["routed", "results", "starts"])
async def test_a_missing_topic_is_named(place: Place, model: Model, which: str) -> None:
    """It is not made up: somebody forgot to create it, or misspelt the prefix."""
    missing = Topics("nowhere.")
    setattr(place.topics, which, getattr(missing, which))
    with pytest.raises(WorkerError, match=r"nowhere.*sluice topics create"):
        await place.start(model)
    place.running.clear()


async def test_no_broker(
    embedded_broker: FaultyBroker,
    prefix: str,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that reaches no broker ends, and says which address it tried."""
    monkeypatch.setattr(consumer, "PATIENCE", 0.5)
    place = Place(embedded_broker, prefix)
    with pytest.raises(WorkerError, match=r"no broker at 127\.0\.0\.1:9 answers"):
        await place.start(model, servers="127.0.0.1:9")
    place.records.close()


async def test_a_stop_ends_the_wait_for_a_broker(
    embedded_broker: FaultyBroker, prefix: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while no broker is there is not held up until patience ends."""
    monkeypatch.setattr(consumer, "PATIENCE", 100 * PATIENCE)
    monkeypatch.setattr(consumer, "RETRY_INTERVAL", 0.1)
    place = Place(embedded_broker, prefix)
    task = place.start(model, servers="127.0.0.1:9")
    with pytest.raises(WorkerError, match=r"no broker at 127\.0\.0\.1:9 answers"):
        await place.stop(task)
    place.records.close()


async def test_a_result_that_is_refused_is_not_committed(
    embedded_broker: FaultyBroker, prefix: str, model: Model
) -> None:
    """The worker ends, names the topic, and the next one answers the query again."""
    place = Place(embedded_broker, prefix)
    place.route("a")
    embedded_broker.fail(Request.PRODUCE, KafkaError.TOPIC_AUTHORIZATION_FAILED, 20)
    try:
        with pytest.raises(WorkerError, match=rf"{place.results} does not acknowledge"):
            await asyncio.wait_for(place.start(model), PATIENCE)
    finally:
        embedded_broker.heal(Request.PRODUCE)
    place.running.clear()
    assert await place.committed() < 1
    task = place.start(Model())
    await place.answered("a")
    await place.stop(task)
    place.records.close()


def test_a_failure_has_the_shape_of_a_result() -> None:
    """`failed` gives what the wire takes back."""
    result = failed(routed("a"), 503, "INFERENCE_ERROR", "gone", cost=4, attempts=2)
    assert decode(Result, encode(result)) == result
