"""End to end on a real Kafka: queries/s routed by one process, beside a bare loop.

The bare loop consumes, embeds and produces, no more: what this machine could do at best with the
same embedder. The router runs twice: with the fixed shares that it starts from (no reports, so no
controller and no new prices), and as it is. All read the same queries on the same broker. A
stand-in for the model workers answers every routed query at once, so that the router also settles
every one.

    python -m benchmarks.whole_way [--queries 200000] [--history 20000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from benchmarks import results
from benchmarks.machine import machine
from router.estimation.embedders import make_embedder
from router.estimation.embedders.given import GivenEmbedder
from router.estimation.estimator import Estimator
from router.estimation.index.manifest import load_index, save_index
from router.evaluation.workload import synthesize
from streams.brokers.kafka import KafkaServer
from streams.kafka.topics import Topics, create

CHARACTERS = 200
PARTITIONS = 4
FIXED, MOVING = Topics("fixed."), Topics("moving.")
"""The topics of the two runs of the router; the bare loop reads those of the first."""
SILENT = """
import streams.runtime.app
streams.runtime.app.REPORT_SECONDS = 1e9
from streams.cli import main
main()
"""
"""`sluice` without reports: nobody hears of a partition, so its shares stay as they are."""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--queries", type=int, default=200_000)
    options.add_argument("--history", type=int, default=20_000)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, _kafka(folder) as broker:
        models, prompts = prepare(Path(folder), asked.history, asked.queries)
        admin = AdminClient({"bootstrap.servers": broker.servers})
        for topics in (FIXED, MOVING):
            create(admin, topics.planned(models, PARTITIONS, 1))
            _produce(broker.servers, topics.queries, prompts, asked.queries)
        print(f"{asked.queries:,} queries of {CHARACTERS} characters, history {asked.history:,}")
        print(machine())
        bare = _bare_loop(broker.servers, asked.queries)
        print(f"bare consume, embed, produce  {bare:8,.0f} queries/s")
        sluice = [str(Path(sys.executable).with_name("sluice"))]
        silent = [sys.executable, "-c", SILENT]
        fixed = _router(broker.servers, silent, FIXED, Path(folder), models, asked.queries)
        print(f"whole way, fixed shares       {fixed:8,.0f} queries/s   {fixed / bare:.2f} of bare")
        routed = _router(broker.servers, sluice, MOVING, Path(folder), models, asked.queries)
        print(
            f"whole way, one router         {routed:8,.0f} queries/s   {routed / bare:.2f} of bare,"
            f" {routed / fixed:.2f} of fixed shares"
        )
        figures = {"bare": bare, "fixed": fixed, "complete": routed, "of bare": routed / bare}
        results.write(asked.json, "whole_way", figures)


def _kafka(folder: str) -> KafkaServer:
    return KafkaServer(Path(folder) / "kafka")


def prepare(
    folder: Path, history: int, queries: int, plenty: float = 1.0, given: bool = False
) -> tuple[tuple[str, ...], list[str]]:
    """Build the index and the configuration.

    Args:
        folder: Where to.
        history: Queries of the past.
        queries: Those to come.
        plenty: How many times the money that all of them would cost at the cheapest model.
        given: Whether the queries carry their embeddings.

    Returns:
        The models, and prompts of equal length.
    """
    data = synthesize(history + min(queries, 20_000))
    past = data.take(np.arange(history))
    embedder = make_embedder()
    texts = [_fit(prompt) for prompt in past.prompts]
    outcomes = past.history(embedder.encode(texts))
    catalog, dimension = past.catalog(), embedder.dimension
    name = GivenEmbedder(dimension).name if given else embedder.name
    save_index(folder / "index", outcomes, embedder=name, models=catalog.names)
    saved = load_index(folder / "index", embedder=name, dimension=dimension)
    estimator = Estimator.fit(saved.history, saved.index, texts)
    save_index(
        folder / "index",
        outcomes,
        embedder=name,
        models=catalog.names,
        estimator=estimator.arrays(),
    )
    each = plenty * past.costs.mean(axis=0).min() * queries / len(catalog)
    lines = [
        f"[topics]\npartitions = {PARTITIONS}\nmodel_partitions = 1",
        f"[policy]\nexpected_queries = {queries}",
        '[reservation]\nmode = "quantile"',
        f'[index]\npath = "{folder}/index"',
        f'[router]\ndata_dir = "{folder}/data"',
    ]
    if given:
        lines.append(f'[embedder]\nkind = "given"\ndimension = {dimension}')
    for model in catalog.models:
        lines.append(
            f'[models."{model.name}"]\ninput_price = "0"\noutput_price = "0.001"\n'
            f"max_output_tokens = {model.max_output_tokens}\ncontext = {model.context}\n"
            f'budget = {{ limit = "{each / 1e9:.9f}" }}'
        )
    (folder / "sluice.toml").write_text("\n".join(lines))
    return catalog.names, [_fit(prompt) for prompt in data.prompts[history:]]


def _fit(prompt: str) -> str:
    return (prompt * (CHARACTERS // max(len(prompt), 1) + 1))[:CHARACTERS]


def _produce(servers: str, topic: str, prompts: list[str], queries: int) -> None:
    producer = Producer({"bootstrap.servers": servers, "compression.type": "lz4", "linger.ms": 20})
    for i in range(queries):
        body = json.dumps({"id": f"q{i}", "prompt": prompts[i % len(prompts)]})
        while True:
            try:
                producer.produce(topic, body, f"q{i}")
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def _records(servers: str, topics: list[str], group: str) -> Iterator[list[Any]]:
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(topics)
    while True:
        yield [message for message in consumer.consume(500, 0.2) if message.error() is None]


def _bare_loop(servers: str, queries: int) -> float:
    """Queries/s of consume, embed and produce in one process."""
    embedder = make_embedder()
    producer = Producer({"bootstrap.servers": servers, "compression.type": "lz4", "linger.ms": 5})
    done, started = 0, 0.0
    for records in _records(servers, [FIXED.queries], "bare"):
        started = started or (time.perf_counter() if records else 0.0)
        texts = [json.loads(record.value())["prompt"] for record in records]
        vectors = embedder.encode(texts)
        for record, _ in zip(records, vectors, strict=True):
            producer.produce(FIXED.deferred, record.value(), record.key())
        producer.flush()
        done += len(records)
        if done >= queries:
            break
    return queries / (time.perf_counter() - started)


def _answer(servers: str, topics: Topics, models: tuple[str, ...]) -> None:
    """Stand in for the workers: every routed query costs half of what was reserved."""
    producer = Producer({"bootstrap.servers": servers, "compression.type": "lz4", "linger.ms": 20})
    names = [topics.routed(model) for model in models]
    for records in _records(servers, names, f"{topics.prefix}answer"):
        for record in records:
            routed = json.loads(record.value())
            result = {key: routed[key] for key in ("id", "decision_id", "model")}
            result |= {"status_code": 200, "cost": routed["reserved"] // 2}
            partition = routed["source"]["partition"]
            producer.produce(topics.results, json.dumps(result), record.key(), partition)
        producer.poll(0)


def _router(
    servers: str,
    sluice: list[str],
    topics: Topics,
    folder: Path,
    models: tuple[str, ...],
    queries: int,
) -> float:
    """Queries/s of `sluice route`, from its first receipt to its last."""
    answers = multiprocessing.get_context("spawn").Process(
        target=_answer, args=(servers, topics, models), daemon=True
    )
    answers.start()
    command = [*sluice, "route", "-c", str(folder / "sluice.toml"), "--name", topics.prefix]
    environment = {
        **os.environ,
        "SLUICE_BROKER": servers,
        "SLUICE_TOPICS_PREFIX": topics.prefix,
        "SLUICE_ROUTER_ID": f"{topics.prefix}sluice",
    }
    with (folder / "router.log").open("w") as log:
        router = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    process = psutil.Process(router.pid)
    done, started, step = 0, 0.0, queries // 10
    try:
        for records in _records(servers, [topics.receipts], f"{topics.prefix}watch"):
            started = started or (time.perf_counter() if records else 0.0)
            before, done = done, done + len(records)
            if router.poll() is not None:
                sys.exit((folder / "router.log").read_text()[-2000:])
            if done // step > before // step:
                seconds = time.perf_counter() - started
                resident = process.memory_info().rss / 2**20
                cpu = process.cpu_times()
                print(
                    f"  {done:9,} after {seconds:5.1f} s, {resident:5.0f} MiB resident, "
                    f"{cpu.user + cpu.system:5.1f} s of CPU",
                    flush=True,
                )
            if done >= queries:
                return queries / (time.perf_counter() - started)
    finally:
        answers.terminate()
        router.terminate()
        router.wait(60)
    raise AssertionError("unreachable: the topic is read until all is there")


if __name__ == "__main__":
    main()
