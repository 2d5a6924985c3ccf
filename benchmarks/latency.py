"""Latency of decisions under even loads on a real Kafka, beside the least chain that could be.

From the producer's call for a query to a consumer's receipt of its routed message, with plenty of
money, so that every query is routed at once. The bare chain (`benchmarks/chain.py`: consume, embed,
an acknowledged write, produce) runs on the same broker, in turn with the router. First both are
measured flat out; then at fixed rates, and at parts of what the router does flat out.

    python -m benchmarks.latency [--rates 2,50,500] [--parts 25,50,80] [--seconds 20]
        [--embeddings computed|given] [--processes N] [--broker HOST:PORT] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import psutil
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from benchmarks import results
from benchmarks.machine import machine
from benchmarks.whole_way import PARTITIONS, prepare
from router.estimation.embedders import make_embedder
from streams.brokers.kafka import KafkaServer, free_port
from streams.kafka.topics import Topics, create

WARM = 200
PATIENCE = 120.0
STAGES = re.compile(r'sluice_route_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)')


@dataclass
class Measured:
    """One run at one rate."""

    latencies: np.ndarray
    seconds: float
    cpu: float
    stages: dict[str, float] = field(default_factory=dict)

    def figures(self, place: str) -> dict[str, float]:
        """Return its figures by name, milliseconds."""
        count = len(self.latencies)
        return {
            f"{place}, p50": float(np.percentile(self.latencies, 50)) * 1e3,
            f"{place}, p99": float(np.percentile(self.latencies, 99)) * 1e3,
            f"{place}, CPU": self.cpu / count * 1e3,
            **{f"{place}, {name}": value * 1e3 for name, value in self.stages.items()},
        }


class Subject:
    """A running router, or the bare chain, and both ends of it."""

    def __init__(
        self, stack: ExitStack, servers: str, prefix: str, models: Sequence[str], bodies: Bodies
    ) -> None:
        self.topics = Topics(prefix)
        self._bodies = bodies
        self._received: dict[str, float] = {}
        self._sent: dict[str, float] = {}
        self._next = 0
        self.port: int | None = None
        self.process: psutil.Process
        admin = AdminClient({"bootstrap.servers": servers})
        create(admin, self.topics.planned(models, PARTITIONS, 1))
        settings = {"bootstrap.servers": servers, "linger.ms": 0, "enable.idempotence": True}
        self._producer = Producer(settings)
        self._stop = threading.Event()
        names = [self.topics.routed(model) for model in models]
        thread = threading.Thread(target=self._receive, args=(servers, names))
        thread.start()
        stack.callback(thread.join)
        stack.callback(self._stop.set)

    def start(self, stack: ExitStack, command: Sequence[str], environment: dict[str, str]) -> None:
        """Start the process, and wait until it answers."""
        found = subprocess.Popen(command, env={**os.environ, **environment})
        stack.callback(found.wait)
        stack.callback(found.terminate)
        self.process = psutil.Process(found.pid)
        self.even(50.0, WARM)

    def even(self, rate: float, count: int) -> Measured:
        """Send queries evenly and wait for all of them."""
        before, stages = self._cpu(), self._stages()
        start = time.perf_counter()
        names = []
        for i in range(count):
            wait = start + i / rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            names.append(self._send())
        return self._measured(names, start, before, stages)

    def flat_out(self, count: int) -> Measured:
        """Send queries as fast as they are taken and wait for all of them."""
        before, stages = self._cpu(), self._stages()
        start = time.perf_counter()
        names = [self._send() for _ in range(count)]
        return self._measured(names, start, before, stages)

    def resident(self) -> float:
        """MiB of the process and those under it."""
        tree = [self.process, *self.process.children(recursive=True)]
        return float(sum(one.memory_info().rss for one in tree)) / 2**20

    def _measured(
        self, names: list[str], start: float, before: float, stages: dict[str, tuple[float, float]]
    ) -> Measured:
        self._producer.flush()
        end = time.monotonic() + PATIENCE
        while any(name not in self._received for name in reversed(names)):
            if time.monotonic() > end or not self.process.is_running():
                sys.exit("queries were not routed in time")
            time.sleep(0.05)
        last = max(self._received[name] for name in names)
        taken = {
            name: (total - stages.get(name, (0, 0))[0])
            / max(count - stages.get(name, (0, 0))[1], 1)
            for name, (total, count) in self._stages().items()
        }
        latencies = np.array([self._received[name] - self._sent[name] for name in names])
        return Measured(latencies, last - start, self._cpu() - before, taken)

    def _send(self) -> str:
        name = f"q{self._next}"
        body = self._bodies(self._next)
        self._next += 1
        self._sent[name] = time.perf_counter()
        while True:
            try:
                self._producer.produce(
                    self.topics.queries, b'{"id":"%s",%s' % (name.encode(), body), name
                )
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)
        return name

    def _receive(self, servers: str, names: list[str]) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": f"{self.topics.prefix}end",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 5,
                "topic.metadata.refresh.interval.ms": 1000,  # the topics have just been created
            }
        )
        consumer.subscribe(names)
        while not self._stop.is_set():
            record = consumer.poll(0.1)
            if record is not None and record.error() is None:
                self._received[(record.key() or b"").decode()] = time.perf_counter()
        consumer.close()

    def _cpu(self) -> float:
        times = [one.cpu_times() for one in [self.process, *self.process.children(recursive=True)]]
        return float(sum(one.user + one.system for one in times))

    def _stages(self) -> dict[str, tuple[float, float]]:
        if self.port is None:
            return {}
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            found = {(m[2], m[1]): float(m[3]) for m in STAGES.finditer(answer.read().decode())}
        return {name: (found[name, "sum"], found[name, "count"]) for name, _ in found}


Bodies = Callable[[int], bytes]
"""Number of a query -> its JSON from after the id to the end."""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rates", default="2,50,500")
    options.add_argument("--parts", default="25,50,80")
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--history", type=int, default=20_000)
    options.add_argument("--flat", type=int, default=50_000, help="queries of the runs flat out")
    options.add_argument("--embeddings", choices=("computed", "given"), default="computed")
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--broker", help="a Kafka that runs; else one is started")
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-bench-")))
        servers = asked.broker or stack.enter_context(KafkaServer(folder / "kafka")).servers
        given = asked.embeddings == "given"
        models, prompts = prepare(folder, asked.history, 10**6, plenty=10**6, given=given)
        bodies = _bodies(prompts, given)
        run, both = f"{os.getpid()}.", []
        for name in ("bare", "sluice"):
            both.append(Subject(stack, servers, f"{name}{run}", models, bodies))
        bare, router = both
        kind = "pass" if given else "embed"
        chain = [sys.executable, "-m", "benchmarks.chain", servers]
        bare.start(stack, [*chain, bare.topics.prefix, models[0], kind], {})
        port = free_port()
        command = [sys.executable, "-m", "streams.cli", "route", "-c", f"{folder}/sluice.toml"]
        command += ["--name", "bench", "--metrics", f"127.0.0.1:{port}", "--log-level", "warning"]
        if asked.processes > 1:
            command += ["--processes", str(asked.processes)]
        names = {"SLUICE_TOPICS_PREFIX": router.topics.prefix, "SLUICE_ROUTER_ID": f"bench{run}"}
        router.start(stack, command, {"SLUICE_BROKER": servers, **names})
        router.port = port
        print(machine(), f"load {os.getloadavg()[0]:.1f}")
        results.write(asked.json, "latency", _measure(asked, bare, router))


def _bodies(prompts: Sequence[str], given: bool) -> Bodies:
    """Make what queries hold beside their ids; the last brace included."""
    some = list(prompts[:5000])
    found = [orjson.dumps({"prompt": prompt})[1:] for prompt in some]
    if given:
        vectors = make_embedder().encode(some).round(6)
        found = [
            body[:-1] + b',"embedding":' + orjson.dumps(vector.tolist()) + b"}"
            for body, vector in zip(found, vectors, strict=True)
        ]
    return lambda i: found[i % len(found)]


def _measure(asked: argparse.Namespace, bare: Subject, router: Subject) -> dict[str, float]:
    figures: dict[str, float] = {}
    most = {}
    for name, subject in (("bare", bare), ("sluice", router)):
        taken = subject.flat_out(asked.flat)
        most[name] = asked.flat / taken.seconds
        figures[f"flat out, {name} queries/s"] = most[name]
        figures[f"flat out, {name} CPU"] = taken.cpu / asked.flat * 1e3
    figures["flat out, of bare"] = most["sluice"] / most["bare"]
    print(
        f"flat out: bare {most['bare']:,.0f}/s, router {most['sluice']:,.0f}/s "
        f"({figures['flat out, of bare']:.2f} of bare), {figures['flat out, sluice CPU']:.2f} ms "
        f"of CPU a query; {router.resident():,.0f} MiB"
    )
    print(f"{'a second':>9} {'':>7} {'p50':>8} {'p99':>8} {'CPU':>7}   milliseconds; stages")
    rates = [(f"{rate}/s", float(rate)) for rate in asked.rates.split(",") if rate]
    for part in filter(None, asked.parts.split(",")):
        rates.append((f"{part} %", most["sluice"] * float(part) / 100))
    for place, rate in rates:
        count = max(int(rate * asked.seconds), 20)
        rows = {}
        for name, subject in (("bare", bare), ("sluice", router)):
            measured = subject.even(rate, count)
            rows[name] = measured.figures(name)
            figures |= measured.figures(f"{place} {name}")
            told = " ".join(f"{stage} {took * 1e3:.1f}" for stage, took in measured.stages.items())
            cells = [rows[name][f"{name}, {what}"] for what in ("p50", "p99", "CPU")]
            print(f"{place:>9} {name:>7} {cells[0]:8.1f} {cells[1]:8.1f} {cells[2]:7.2f}   {told}")
        for what in ("p50", "p99", "CPU"):
            ratio = rows["sluice"][f"sluice, {what}"] / rows["bare"][f"bare, {what}"]
            figures[f"{place}, {what} of bare"] = ratio
    figures["resident MiB"] = router.resident()
    ratios = [value for name, value in figures.items() if name.endswith("p50 of bare")]
    print(f"median of the p50s of bare: {statistics.median(ratios):.1f}")
    return figures


if __name__ == "__main__":
    main()
