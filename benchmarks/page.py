"""What the page costs when many look at it: processor time with and without browsers, in turns.

A router, a worker that repeats the words, and `sluice serve --ui`, each a process on this machine,
with a real Kafka. Queries come at a steady rate throughout; in every second turn this process keeps
event streams open and reads them, as browsers do.

    python -m benchmarks.page [--browsers 100] [--rate 50] [--seconds 20] [--turns 3]
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import psutil

from benchmarks.machine import machine
from benchmarks.serve import WARM_UP, deployed, send
from streams.client.asynchronous import AsyncClient
from streams.config.settings import Config

MEASURED = ("route", "serve")
"""Commands whose processor time is counted."""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--browsers", type=int, default=100, help="event streams that are open")
    options.add_argument("--rate", type=float, default=50.0, help="queries a second")
    options.add_argument("--seconds", type=float, default=20.0, help="of a turn")
    options.add_argument("--turns", type=int, default=3, help="with, and as many without")
    asked = options.parse_args()
    with deployed("--ui") as (config, url, processes):
        asyncio.run(_measure(config, url, processes, asked))


async def _measure(
    config: Config, url: str, processes: Mapping[str, psutil.Process], asked: argparse.Namespace
) -> None:
    print(f"{asked.rate:g} queries/s, {asked.turns} turns of {asked.seconds:g} s each way")
    print(machine())
    async with AsyncClient(config) as client:

        async def ask(words: str) -> None:
            await client.ask({"messages": [{"role": "user", "content": words}], "max_tokens": 20})

        await send(ask, asked.rate, WARM_UP)
        used: dict[tuple[int, str], list[float]] = {}
        for turn in range(2 * asked.turns):
            count = asked.browsers * (turn % 2)
            async with _browsers(url, count) as read:
                before = _processor_time(processes)
                await send(ask, asked.rate, asked.seconds)
                after = _processor_time(processes)
            for name in MEASURED:
                part = (after[name] - before[name]) / asked.seconds
                used.setdefault((count, name), []).append(part)
            if count:
                assert min(read) > 0, "a stream has brought nothing"
                print(f"each stream brought {np.mean(read) / asked.seconds / 1024:.0f} KiB/s")
    print(f"{'% of a core':16}{'without':>10}{asked.browsers:>10} browsers   each turn")
    for name in MEASURED:
        parts = [np.array(used[count, name]) * 100 for count in (0, asked.browsers)]
        means = "".join(f"{part.mean():10.1f}" for part in parts)
        turns = " | ".join(" ".join(f"{value:.1f}" for value in part) for part in parts)
        print(f"sluice {name:9}{means}            {turns}")


def _processor_time(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Seconds of processor time by command."""
    return {name: sum(processes[name].cpu_times()[:2]) for name in MEASURED}


@asynccontextmanager
async def _browsers(url: str, count: int) -> AsyncIterator[list[int]]:
    """Keep event streams open; yields the bytes that each has brought."""
    read = [0] * count
    no_end = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=no_end, connector=connector) as http:

        async def look(number: int, opened: asyncio.Event) -> None:
            async with http.get(f"{url}/ui/events") as answer:
                answer.raise_for_status()
                async for block in answer.content.iter_any():
                    read[number] += len(block)
                    opened.set()

        opened = [asyncio.Event() for _ in range(count)]
        looking = [asyncio.create_task(look(number, opened[number])) for number in range(count)]
        await asyncio.gather(*(each.wait() for each in opened))
        read[:] = [0] * count
        try:
            yield read
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)


if __name__ == "__main__":
    main()
