"""Queries a second that one worker answers with no model behind it, beside a bare loop.

    python -m benchmarks.worker [--queries 100000] [--repeats 3] [--profile]

Recorded outcomes, answered at once, so all the time is the worker's own: reading, checking,
remembering decisions, publishing, committing. The bare loop consumes the same records, decodes
them with orjson, and produces a result each. Both run in this process in turn, on a real Kafka of
their own (the embedded broker where there is none, and fewer queries), from the first record to
the last acknowledgement. Medians of the repeats.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import statistics
import tempfile
import time
from pathlib import Path

import orjson
from confluent_kafka import Consumer

from benchmarks.machine import machine
from benchmarks.texts import make_texts
from schemas import Result, Routed
from schemas.fields import Source
from schemas.wire import encode
from streams.brokers import Broker, jars
from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer
from streams.config.connection import Broker as Configured
from streams.kafka.logs import Logs
from streams.kafka.starts import StartLog
from streams.kafka.topics import Topics
from streams.worker.backends.recorded import Recorded
from streams.worker.publisher import new_producer
from streams.worker.worker import Worker

PARTITIONS = 3
COUNTS = {"routed.m": PARTITIONS, "results": PARTITIONS, "rejected": 1, "starts": PARTITIONS}
EMBEDDED = 20_000
"""Queries that the embedded broker has room for."""
HEADERS: list[tuple[str, str | bytes | None]] = [
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
]


class Timed(Recorded):
    """Notes when it is first asked, and sets `stop` after so many answers."""

    def __init__(self, queries: int) -> None:
        super().__init__({str(number): (1.0, 10) for number in range(queries)})
        self.left, self.began, self.stop = queries, 0.0, asyncio.Event()

    async def answer(self, routed: Routed) -> Result:
        """Look the query up."""
        self.began = self.began or time.perf_counter()
        self.left -= 1
        if self.left == 0:
            self.stop.set()
        return await super().answer(routed)


def fill(servers: str, queries: int) -> None:
    """Put routed queries of 200 characters into the topic."""
    prompts = make_texts(1000, 200)
    producer = new_producer({"bootstrap.servers": servers}, {"linger.ms": 50})
    for number in range(queries):
        source = Source("queries", number % PARTITIONS, number)
        message = Routed(
            id=str(number),
            decision_id=f"0:{number}",
            model="m",
            max_tokens=100,
            reserved=100,
            policy="primal-dual",
            source=source,
            prompt=prompts[number % len(prompts)],
        )
        while True:
            try:
                producer.produce("routed.m", encode(message), str(number), headers=HEADERS)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def bare(servers: str, queries: int, group: str) -> float:
    """Queries a second of the loop that nobody should run."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
        }
    )
    producer = new_producer({"bootstrap.servers": servers})
    consumer.subscribe(["routed.m"])
    done, began = 0, 0.0
    while done < queries:
        for message in consumer.consume(500, 1.0):
            began = began or time.perf_counter()
            query = orjson.loads(message.value() or b"")
            result = {key: query[key] for key in ("id", "decision_id", "model")}
            value = orjson.dumps({**result, "status_code": 200, "cost": 10, "score": 1.0})
            partition = query["source"]["partition"]
            producer.produce("results", value, message.key(), partition, headers=message.headers())
            done += 1
        producer.poll(0)
        if done:
            consumer.commit(asynchronous=True)
    producer.flush(60)
    took = time.perf_counter() - began
    consumer.close()
    return queries / took


async def worker(servers: str, queries: int, group: str) -> float:
    """Queries a second of a worker."""
    backend = Timed(queries)
    made = Worker(
        "m",
        backend,
        new_producer({"bootstrap.servers": servers}),
        servers,
        {},
        topics=Topics(),
        starts=StartLog(Logs(Configured(servers=servers)), "starts", 600.0),
        group=group,
    )
    await made.run(backend.stop)
    return queries / (time.perf_counter() - backend.began)


def main() -> None:
    """Print both rates and the ratio."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--queries", type=int, default=100_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--profile", action="store_true", help="show where the worker's time goes")
    chosen = options.parse_args()
    lacks, queries = jars.missing(), chosen.queries
    with tempfile.TemporaryDirectory() as folder:
        broker: Broker = EmbeddedBroker() if lacks else KafkaServer(Path(folder) / "kafka")
        if lacks:
            queries = min(queries, EMBEDDED)
            print(f"on the embedded broker, for a real Kafka {lacks}")
        with broker:
            broker.create(COUNTS)
            fill(broker.servers, queries)
            rounds = []
            with cProfile.Profile() as profile:
                profile.disable()
                for number in range(chosen.repeats):
                    loop = bare(broker.servers, queries, f"bare {number}")
                    if chosen.profile:
                        profile.enable()
                    ours = asyncio.run(worker(broker.servers, queries, f"worker {number}"))
                    profile.disable()
                    rounds.append((loop, ours))
    loop, ours = map(statistics.median, zip(*rounds, strict=True))
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}; {queries} queries")
    print(f"bare loop {loop:>9,.0f}/s | worker {ours:>9,.0f}/s | ratio {ours / loop:.2f}")
    if chosen.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
