"""Workers for tests: a model that answers when it is let, topics of its own, workers on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import Result, Routed
from schemas.fields import Source
from schemas.wire import decode, encode
from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from streams.config.connection import Broker as Configured
from streams.kafka.logs import Logs
from streams.kafka.starts import StartLog
from streams.kafka.topics import Topics
from streams.worker.backends.base import Backend, BackendUnavailable
from streams.worker.publisher import new_producer
from streams.worker.worker import Worker
from tests.support.patience import PATIENCE
from tests.support.records import Record, Records

TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Model(Backend):
    """Answers at once, except the queries whose ids are held. Says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.running = 0
        self.most = 0
        self.closed = False
        self.held: set[str] = set()
        self.broken: str | None = None
        self.away: str | None = None
        self.response: Any = None

    async def answer(self, routed: Routed) -> Result:
        self.asked.append(routed.id)
        if self.broken is not None:
            raise RuntimeError(self.broken)
        if self.away is not None:
            raise BackendUnavailable(self.away, 0.0)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            while routed.id in self.held:
                await asyncio.sleep(0.01)
        finally:
            self.running -= 1
        return Result(
            id=routed.id,
            decision_id=routed.decision_id,
            model=routed.model,
            status_code=200,
            cost=1,
            response=self.response,
        )

    async def close(self) -> None:
        self.closed = True


class Place:
    """Topics of one model on a broker, and the workers that a test runs on them."""

    def __init__(self, broker: Broker, prefix: str) -> None:
        self.broker = broker
        self.topics = topics = Topics(prefix)
        self.routed, self.results = topics.routed("m"), topics.results
        self.rejected, self.starts = topics.rejected, topics.starts
        counts = {self.routed: 2, self.results: 3, self.rejected: 1, self.starts: 3}
        broker.create(counts)
        self.records = Records(broker.servers, counts)
        self.producer = self.new_producer()
        self.running: list[tuple[asyncio.Event, asyncio.Task[None]]] = []
        self.made: list[Worker] = []

    def new_producer(self, **settings: Any) -> Producer:
        return new_producer({"bootstrap.servers": self.broker.servers}, settings)

    def start_log(self, topic: str) -> StartLog:
        return StartLog(Logs(Configured(servers=self.broker.servers)), topic, 600.0)

    def start(self, model: Backend, **settings: Any) -> asyncio.Task[None]:
        """Run a worker until `stop`."""
        stop = asyncio.Event()
        # The mock cluster lets the next member of an empty group wait for this long, less 1 s.
        quick = isinstance(self.broker, EmbeddedBroker)
        timeouts = {"session.timeout.ms": 2000 if quick else 6000, "heartbeat.interval.ms": 300}
        worker = Worker(
            "m",
            model,
            settings.pop("producer", None) or self.new_producer(),
            settings.pop("servers", self.broker.servers),
            timeouts,
            topics=self.topics,
            starts=self.start_log(self.topics.starts),
            group=self.routed,
            **settings,
        )
        task = asyncio.create_task(worker.run(stop))
        self.made.append(worker)
        self.running.append((stop, task))
        return task

    async def stop(self, task: asyncio.Task[None]) -> None:
        """End a worker in order."""
        for stop, known in self.running:
            if known is task:
                stop.set()
        await asyncio.wait_for(task, PATIENCE)

    def send(self, value: bytes | None, partition: int = 0) -> None:
        """Put a record into the routed topic, acknowledged."""
        self.producer.produce(self.routed, value, b"key", partition, headers=[TRACE])
        assert self.producer.flush(PATIENCE) == 0

    def route(self, *ids: str, partition: int = 0, **fields: Any) -> None:
        """Put one routed query an id into the topic."""
        for id in ids:
            self.send(encode(routed(id, **fields)), partition)

    async def read(self, topic: str) -> list[Record]:
        return await asyncio.to_thread(self.records.of, topic)

    async def answers(self) -> list[Result]:
        """All results there are."""
        return [decode(Result, record.value) for record in await self.read(self.results)]

    async def answered(self, *ids: str) -> list[Result]:
        """Wait until each id has a result; returns all results."""
        while True:
            found = await self.answers()
            if set(ids) <= {result.id for result in found}:
                return found
            self.check()
            await asyncio.sleep(0.02)

    async def committed(self, partition: int = 0) -> int:
        """The group's offset; -1001 for none."""
        return await asyncio.to_thread(self._committed, partition)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.check()
            await asyncio.sleep(0.01)

    async def until_committed(self, offset: int, partition: int = 0) -> None:
        while (found := await self.committed(partition)) != offset:
            assert found < offset
            self.check()

    def check(self) -> None:
        """Raise what a worker ended with."""
        for _, task in self.running:
            if task.done():
                task.result()

    def _committed(self, partition: int) -> int:
        asked = {"bootstrap.servers": self.broker.servers, "group.id": self.routed, "log_level": 0}
        client = Consumer(asked)
        try:
            [place] = client.committed([TopicPartition(self.routed, partition)], timeout=10.0)
            return int(place.offset)
        finally:
            client.close()


def routed(id: str, **fields: Any) -> Routed:
    given: dict[str, Any] = {
        "decision_id": f"decision {id}",
        "model": "m",
        "max_tokens": 100,
        "reserved": 10,
        "policy": "test",
        "source": Source("queries", 0, 0),
        "prompt": "?",
    }
    return Routed(id=id, **{**given, **fields})
