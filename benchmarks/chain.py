"""The least chain that does what a router does to a query, as the baseline of latencies.

    python -m benchmarks.chain SERVERS PREFIX MODEL (embed | pass)

It consumes, embeds (or not), has a write acknowledged, and produces: without a decision.
"""

from __future__ import annotations

import sys

import orjson
from confluent_kafka import Consumer, Producer

from router.estimation.embedders import make_embedder
from streams.kafka.topics import Topics

LARGEST = 500
"""Records taken together, as many as in a router's chunk."""


def run(servers: str, topics: Topics, model: str, embed: bool) -> None:
    """Serve until the process is ended."""
    embedder = make_embedder() if embed else None
    source = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"{topics.prefix}bare",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 5,
        }
    )
    source.subscribe([topics.queries])
    sink = Producer(
        {
            "bootstrap.servers": servers,
            "linger.ms": 0,
            "enable.idempotence": True,
            "compression.type": "lz4",
        }
    )
    while True:
        first = source.poll(0.1)
        if first is None:
            continue
        found = [first, *source.consume(LARGEST - 1, 0)]
        records = [record for record in found if record.error() is None]
        if embedder is not None:
            embedder.encode([orjson.loads(record.value() or b"")["prompt"] for record in records])
        for topic in (topics.receipts, topics.routed(model)):
            for record in records:
                sink.produce(topic, record.value(), record.key())
            sink.flush()


if __name__ == "__main__":
    run(sys.argv[1], Topics(sys.argv[2]), sys.argv[3], sys.argv[4] == "embed")
