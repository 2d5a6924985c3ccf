"""How long a router takes to route again with a million reservations in flight.

Twice on a real Kafka: from an empty disk (the whole changelog is read), and after kill -9 on its
own RocksDB files. The time is from the start of the process to a decision on every partition.

    python -m benchmarks.recovery [--rows 1000000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import orjson
import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.machine import machine
from router.budget.ledger import Account
from schemas import Receipt, Source
from schemas.wire import encode
from streams.brokers.kafka import KafkaServer
from streams.state.rows import STATE_KEY, Position, Row, State, row_key
from tests.support.chaos import takeover
from tests.support.system import System

PARTITIONS = 4
RESERVED = 1000
"""Nano-units a reservation."""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=1_000_000)
    rows = options.parse_args().rows
    print(f"{rows:,} reservations in flight, {PARTITIONS} partitions; {machine()}", flush=True)
    settings = {"reservation": {"deadline_seconds": 86_000.0}}
    with (
        tempfile.TemporaryDirectory(prefix="sluice-recovery-") as folder,
        KafkaServer(Path(folder) / "kafka") as broker,
        System(
            broker,
            Path(folder) / "system",
            "recovery.",
            partitions=PARTITIONS,
            store="rocksdb",
            settings=settings,
            plenty=2.0 * rows,
        ) as system,
    ):
        for partition in range(PARTITIONS):
            _fill(system, partition, rows // PARTITIONS)
        for where in ("from an empty disk", "after kill -9, on its files"):
            seconds, resident = _start(system)
            print(
                f"{where:30} {seconds:6.1f} s to decide on all partitions, "
                f"{resident / 2**20:,.0f} MiB resident",
                flush=True,
            )
            system.kill("r0")


def _fill(system: System, partition: int, count: int) -> None:
    """Write the changelog of a partition that has so many reservations open, all of one model, as
    if their queries had been decided, published and committed."""
    topics, model, now = system.topics, system.models[0], time.time()
    for offset in range(count):
        id = f"{partition}-{offset}"
        receipt = Receipt(
            id=id,
            decision_id=f"{topics.queries}/{partition}/{offset}",
            decision="routed",
            reason="best",
            policy="primal-dual",
            source=Source(topics.queries, partition, offset),
            decided_at=now - (count - offset) // 500 * 0.01,  # in chunks
            model=model,
            quality=dict.fromkeys(system.models, 0.5),
            cost=dict.fromkeys(system.models, RESERVED),
            reserved=RESERVED,
            bound="quantile",
            max_tokens=RESERVED,
            neighbours=[f"synthetic-0-{n:06d}" for n in range(8)],
        )
        row = encode(Row(receipt=receipt))
        _send(system, topics.changelog, row, row_key("queries", offset).encode(), partition)
        _send(system, topics.queries, b"", id.encode(), partition)
    shares = {
        name: limit // PARTITIONS for name, limit in zip(system.models, system.limits, strict=True)
    }
    state = State(
        queries=Position(count - 1, count - 1),
        arrivals=count,
        sequence=1,
        accounts={
            name: Account(share, count * RESERVED if name == model else 0, 0)
            for name, share in shares.items()
        },
    )
    _send(system, topics.changelog, encode(state), STATE_KEY, partition)
    system.flush()
    group = Consumer({"bootstrap.servers": system.broker.servers, "group.id": system.group})
    group.commit(offsets=[TopicPartition(topics.queries, partition, count)], asynchronous=False)
    group.close()


def _send(system: System, topic: str, value: bytes, key: bytes, partition: int) -> None:
    while True:
        try:
            system.send(topic, value, key, partition)
            return
        except BufferError:
            system.producer.poll(0.1)


def _start(system: System) -> tuple[float, int]:
    """Seconds from the start to a decision on every partition, and resident bytes then."""
    began = time.time()
    router = system.start_router("r0")
    for partition in range(PARTITIONS):
        id = f"new-{partition}-{began}"
        data = orjson.dumps({"id": id, "prompt": "Which of these is routed first?"})
        system.send(system.topics.queries, data, id.encode(), partition)
    system.flush()
    return takeover(system, began, 900.0), psutil.Process(router.process.pid).memory_info().rss


if __name__ == "__main__":
    main()
