"""What the HTTP front adds: the same queries by Kafka and by HTTP, in turns, in one run.

A router, a worker that repeats the words, and `sluice serve`, each a process on this machine, with
a real Kafka. Queries are sent at a steady rate by this process: through `streams.client`, then
through the front, and so on.

    python -m benchmarks.serve [--rate 200] [--seconds 10] [--turns 3]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import httpx
import numpy as np
import psutil

from benchmarks.machine import machine
from streams.brokers.kafka import KafkaServer
from streams.cli.planning import planned
from streams.client.asynchronous import AsyncClient
from streams.config.settings import Config, load
from streams.kafka import clients
from streams.kafka.topics import create

CONFIG = """
[topics]
partitions = 4
[policy]
expected_queries = 100000
[reservation]
mode = "max"
[router]
data_dir = "{folder}/data"
[serve]
files = "{folder}/files"
rate = 100000.0
[models.small]
input_price = "0.1"
output_price = "0.2"
max_output_tokens = 100
budget = {{ limit = "1000" }}
[models.large]
input_price = "1"
output_price = "2"
max_output_tokens = 100
budget = {{ limit = "1000" }}
"""
START = 180.0
"""Seconds in which everything must have started."""
WARM_UP = 2.0
"""Seconds of queries before the first turn, which count nowhere."""

Ask = Callable[[str], Awaitable[None]]


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rate", type=float, default=200.0, help="queries a second")
    options.add_argument("--seconds", type=float, default=10.0, help="of a turn")
    options.add_argument("--turns", type=int, default=3, help="of each way")
    asked = options.parse_args()
    with deployed() as (config, url, processes):
        front = processes["serve"]
        work = _measure(config, url, front, asked.rate, asked.seconds, asked.turns)
        asyncio.run(work)


async def _measure(
    config: Config, url: str, front: psutil.Process, rate: float, seconds: float, turns: int
) -> None:
    print(f"{rate:g} queries/s, {turns} turns of {seconds:g} s each way")
    print(machine())
    connector = aiohttp.TCPConnector(limit=0)
    async with AsyncClient(config) as client, aiohttp.ClientSession(connector=connector) as http:

        async def by_kafka(words: str) -> None:
            await client.ask({"messages": [{"role": "user", "content": words}], "max_tokens": 20})

        async def by_http(words: str) -> None:
            messages = [{"role": "user", "content": words}]
            body = {"model": "auto", "messages": messages, "max_tokens": 20}
            async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()

        found: dict[str, list[float]] = {"Kafka": [], "HTTP": []}
        for ask in (by_kafka, by_http):
            await send(ask, rate, WARM_UP)
        used = 0.0
        for _ in range(turns):
            found["Kafka"] += await send(by_kafka, rate, seconds)
            before = sum(front.cpu_times()[:2])
            found["HTTP"] += await send(by_http, rate, seconds)
            used += sum(front.cpu_times()[:2]) - before
    _print(found)
    print(f"processor time of the front: {used / len(found['HTTP']) * 1000:.2f} ms a request")


def _print(found: dict[str, list[float]]) -> None:
    places = (50, 90, 99)
    rows = {way: np.percentile(np.array(taken) * 1000, places) for way, taken in found.items()}
    rows["HTTP - Kafka"] = rows["HTTP"] - rows["Kafka"]
    print(f"{'ms':14}" + "".join(f"{f'p{place}':>9}" for place in places))
    for way, row in rows.items():
        print(f"{way:14}" + "".join(f"{value:9.1f}" for value in row))
    ratios = rows["HTTP"] / rows["Kafka"]
    print(f"{'HTTP / Kafka':14}" + "".join(f"{value:9.2f}" for value in ratios))


async def send(ask: Ask, rate: float, seconds: float) -> list[float]:
    """Seconds from the moment at which each query was due to its answer."""
    began = time.perf_counter()

    async def one(number: int) -> float:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await ask(f"question {number} of {uuid.uuid4().hex}")
        return time.perf_counter() - due

    return await asyncio.gather(*map(one, range(int(rate * seconds))))


@contextmanager
def deployed(*more: str) -> Iterator[tuple[Config, str, dict[str, psutil.Process]]]:
    """Run a Kafka, a router, a worker and a front with topics of their own.

    Args:
        more: options of the front.

    Yields the configuration, the front's address, and processes by command.
    """
    with (
        tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder,
        KafkaServer(Path(folder) / "kafka") as broker,
    ):
        file = Path(folder) / "sluice.toml"
        file.write_text(CONFIG.format(folder=folder))
        config = load(file, {"SLUICE_BROKER": broker.servers})
        create(clients.admin({"bootstrap.servers": broker.servers}), planned(config))
        with _running(file, broker.servers, *more) as (url, processes):
            yield config, url, processes


@contextmanager
def _running(
    file: Path, servers: str, *more: str
) -> Iterator[tuple[str, dict[str, psutil.Process]]]:
    """Run a router, a worker and a front; yield the front's address, and processes by command.

    Args:
        file: the configuration.
        servers: the broker.
        more: options of the front.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{probe.getsockname()[1]}"
    sluice = str(Path(sys.executable).with_name("sluice"))
    commands = (
        ("route", "--name", "bench"),
        ("work", "small", "large", "--echo"),
        ("serve", "--http", at, *more),
    )
    environment = {**os.environ, "SLUICE_BROKER": servers}
    with file.with_suffix(".log").open("wb") as log:
        started = [
            subprocess.Popen(
                [sluice, *each, "-c", str(file)], stdout=log, stderr=log, env=environment
            )
            for each in commands
        ]
        try:
            _wait(f"http://{at}", started)
            yield (
                f"http://{at}",
                {
                    command[0]: psutil.Process(process.pid)
                    for command, process in zip(commands, started, strict=True)
                },
            )
        except BaseException:
            print(file.with_suffix(".log").read_text()[-4000:], file=sys.stderr)
            raise
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait(60)


def _wait(url: str, running: list[subprocess.Popen[bytes]]) -> None:
    """Wait for a first answer."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "first"}], "max_tokens": 20}
    until = time.monotonic() + START
    while True:
        try:
            if httpx.post(f"{url}/v1/chat/completions", json=body, timeout=START).is_success:
                return
        except httpx.TransportError:
            pass
        assert all(process.poll() is None for process in running), "a process has ended"
        assert time.monotonic() < until, "no answer"
        time.sleep(0.2)


if __name__ == "__main__":
    main()
