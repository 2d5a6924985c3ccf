"""Shares follow need: 90 % of the traffic on one of six partitions, beside a single partition.

The same queries, models and budgets on a real Kafka, at the same rate; what is compared is the sum
of the answers' scores, and what of the money was spent.

    python -m benchmarks.skew [--queries 3000] [--rate 100]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from random import Random

import orjson

from benchmarks.machine import machine
from streams.brokers.kafka import KafkaServer
from tests.support.records import trace
from tests.support.system import System

PARTITIONS, HEAVY = 6, 0.9


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--queries", type=int, default=3000)
    options.add_argument("--rate", type=float, default=100.0, help="queries a second")
    asked = options.parse_args()
    print(f"{asked.queries:,} queries at {asked.rate:g}/s; {machine()}", flush=True)
    scores = {}
    with (
        tempfile.TemporaryDirectory(prefix="sluice-skew-") as folder,
        KafkaServer(Path(folder) / "kafka") as broker,
    ):
        for partitions in (1, PARTITIONS):
            with System(
                broker,
                Path(folder) / f"on-{partitions}",
                f"on-{partitions}.",
                size=asked.queries,
                past=2000,
                partitions=partitions,
                settings={"deferral": {"retry_seconds": 1}},
            ) as system:
                scores[partitions] = _run(system, asked.rate)
    print(f"skewed beside one partition: {scores[PARTITIONS] / scores[1]:.4f} of the score")


def _run(system: System, rate: float) -> float:
    """Send everything, wait for the last settlement. Returns the answers' total score."""
    random = Random(0)
    system.start_router("r0")
    system.answer()
    began = time.monotonic()
    for count, (id, prompt) in enumerate(
        zip(system.queries.ids, system.queries.prompts, strict=True)
    ):
        data = orjson.dumps({"id": id, "prompt": prompt})
        others = range(1, system.partitions)
        light = system.partitions > 1 and random.random() > HEAVY
        partition = random.choice(others) if light else 0
        system.sent[id] = data
        system.send(system.topics.queries, data, id.encode(), partition, trace(id))
        if (early := began + count / rate - time.monotonic()) > 0:
            time.sleep(early)
    system.flush()
    system.wait_settled()
    waiting = {record.partition: record.offset for record in system.read(system.topics.deferred)}
    system.wait("a last look at what waits", lambda: _looked_at(system, waiting))
    system.wait_settled()
    score = sum(record.json()["score"] or 0.0 for record in system.read(system.topics.results))
    spent = sum(
        account.spent for state in system.states().values() for account in state.accounts.values()
    )
    name = "90 % on one of 6 partitions" if system.partitions > 1 else "one partition"
    print(
        f"{name:28} score {score:8.1f}   spent {spent / sum(system.limits):6.1%} of the budgets",
        flush=True,
    )
    return score


def _looked_at(system: System, waiting: dict[int, int]) -> bool:
    states = system.states()
    return all(states[number].deferred.decided >= last for number, last in waiting.items())


if __name__ == "__main__":
    main()
