"""Token pools against one pool for all lengths, in a simulation of servers with bounded caches.

    python -m benchmarks.pools [--requests 8000] [--seed 0]

By two rules of how many requests a server takes at a time: as many of the longest as its cache
holds ("worst case"), or 256 in any pool, which preempts when the cache is full ("256", the default
of vLLM).

First table, servers that always have work: requests a second of one pool for all lengths, of the
short and of the long pool; α, ρ; the part of the servers that pools save, simulated and by the
closed form α(1 − 1/ρ) of arXiv 2604.09613; preemptions for each 1,000 requests in one pool, and in
pools.

Second table, arrivals at 80 % of the capacity of a fleet that is sized for each rule and way of
routing: servers; the part misrouted (sent to a pool whose context is too short for prompt and
allowed answer: it is refused there, and sent on to the long pool); the part spilled; preemptions
for each 1,000; and the 99th percentile of seconds until the first token.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.pool_servers import CACHE, Lengths, Request, Server, azure, azure_writing, lmsys
from router.arrays import Bools, Ints
from router.estimation.token_ratio import DEFAULT, TokenRatios
from router.models.pools import SPILL_AT, shortest_pool

CONTEXTS = (8_192, 65_536)
RULES = {"worst case": (CACHE // CONTEXTS[0], CACHE // CONTEXTS[1]), "256": (256, 256)}
"""Rule -> requests at a time of a server of each pool."""
WARM = 0.2
"""Part of a saturated run that is left out at each end."""
FEW = 50
"""With fewer long requests nothing is said of a pool for them."""
LOAD = 0.8
SERVERS = 16.0
"""Of one pool for all lengths; the others are sized for the same arrivals."""
KINDS = {"prose": (4.4, 0.10), "code": (3.2, 0.15), "Chinese": (2.6, 0.12), "JSON": (2.2, 0.2)}
"""Category -> bytes a token, and the deviation of its logarithm within the category. Ours."""


class Traffic(NamedTuple):
    """n requests, with what a router sees of them."""

    lengths: Lengths
    category: Sequence[str]
    size: Ints

    @property
    def short(self) -> Bools:
        """Which the short pool holds, bool[n]."""
        return self.lengths.prompt + self.lengths.allowed <= CONTEXTS[0]


TRACES = {"Azure": azure, "Azure, long answers": azure_writing, "LMSYS": lmsys}
WAYS = ("conservative", "mean", "4 bytes", "true")
"""How the tokens of a prompt are estimated."""


def traffic(lengths: Lengths, random: np.random.Generator) -> Traffic:
    """Give each request a kind of text, and the bytes that its prompt then has."""
    category = random.choice(list(KINDS), len(lengths.prompt), p=[0.6, 0.2, 0.1, 0.1]).tolist()
    ratio = np.array([KINDS[kind][0] for kind in category])
    spread = np.array([KINDS[kind][1] for kind in category])
    size = lengths.prompt * ratio * np.exp(spread * random.normal(size=len(ratio)))
    return Traffic(lengths, category, np.maximum(np.rint(size), 1).astype(np.int64))


def saturated(lengths: Lengths, slots: int) -> tuple[float, int]:
    """Return requests a second of one server that always has work, and its preemptions."""
    server, n = Server(slots), len(lengths.prompt)
    for number in range(n):
        server.take(Request(number, int(lengths.prompt[number]), int(lengths.answer[number]), 0.0))
    server.advance(np.inf)
    starts = np.sort([server.first[number] for number in range(n)])
    low, high = int(n * WARM), int(n * (1 - WARM))
    return (high - low) / float(starts[high] - starts[low]), server.preempted


def part(lengths: Lengths, chosen: Bools) -> Lengths:
    """Return some of the requests."""
    return Lengths(*(column[chosen] for column in lengths))


class Capacity(NamedTuple):
    """Requests a second of one server, by what is sent to it, and preemptions for each 1,000."""

    one: float
    short: float
    long: float
    alpha: float
    preempted: float
    preempted_pools: float

    @property
    def saved(self) -> float:
        """The part of the servers that pools save."""
        return 1 - self.one * (self.alpha / self.short + (1 - self.alpha) / self.long)


def capacity(all_of: Traffic, slots: Sequence[int]) -> Capacity:
    """Measure servers that always have work."""
    short, n = all_of.short, len(all_of.short)
    one, preempted = saturated(all_of.lengths, slots[1])
    in_short, of_short = saturated(part(all_of.lengths, short), slots[0])
    in_long, of_long = one, 0
    if (~short).sum() >= FEW:
        in_long, of_long = saturated(part(all_of.lengths, ~short), slots[1])
    scale = 1000 / n
    return Capacity(
        one,
        in_short,
        in_long,
        float(short.mean()),
        scale * preempted,
        scale * (of_short + of_long),
    )


def fleet(
    all_of: Traffic, servers: Sequence[int], slots: Sequence[int], rate: float, way: str, seed: int
) -> list[float]:
    """Run arrivals through pools; return misrouted, spilled, preempted per 1,000, and p99."""
    pools = [
        [Server(each) for _ in range(count)] for each, count in zip(slots, servers, strict=True)
    ]
    contexts = CONTEXTS[-len(pools) :]
    ratios, now, misrouted, spilled = TokenRatios(), 0.0, 0, 0
    random = np.random.default_rng(seed)
    prompt, answer, allowed = all_of.lengths
    n = len(prompt)
    for number in range(n):
        now += float(random.exponential(1 / rate))
        for server in (server for pool in pools for server in pool):
            server.advance(now)
            server.clock = max(server.clock, now) if not len(server) else server.clock
        category, size = all_of.category[number], int(all_of.size[number])
        guess = estimated(ratios, way, category, size, int(prompt[number]))
        load = np.array([sum(map(len, pool)) / (len(pool) * pool[0].slots) for pool in pools])
        needed = np.array([guess + int(allowed[number])]).clip(max=contexts[-1])
        chosen = int(shortest_pool(needed, contexts, load >= SPILL_AT)[0])
        spilled += chosen != int(shortest_pool(needed, contexts)[0])
        if prompt[number] + allowed[number] > contexts[chosen]:
            misrouted, chosen = misrouted + 1, len(pools) - 1
        server = min(pools[chosen], key=len)
        server.take(Request(number, int(prompt[number]), int(answer[number]), now))
        ratios.observe(category, size, int(prompt[number]))
    for server in (server for pool in pools for server in pool):
        server.advance(np.inf)
    everyone = [server for pool in pools for server in pool]
    first = np.array([wait for server in everyone for wait in server.first.values()])
    preempted = sum(server.preempted for server in everyone)
    p99 = float(np.quantile(first, 0.99))
    return [misrouted / n, spilled / n, 1000 * preempted / n, p99]


def estimated(ratios: TokenRatios, way: str, category: str, size: int, true: int) -> int:
    """Return the tokens of a prompt by one way of estimating them."""
    if way == "true":
        return true
    if way == "4 bytes":
        return int(size / DEFAULT)
    return ratios.tokens(category, size, conservative=way == "conservative")


def sizes(found: Capacity) -> tuple[float, dict[str, list[int]]]:
    """Return arrivals a second, and the servers of one pool and of pools, short and long."""
    rate = LOAD * SERVERS * found.one
    short = rate * found.alpha / found.short / LOAD
    long = rate * (1 - found.alpha) / found.long / LOAD
    return rate, {
        "one pool": [round(SERVERS)],
        "pools": [max(1, int(np.ceil(each))) for each in (short, long)],
    }


def show(*cells: object) -> None:
    """Print a row."""
    shown = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells)
    print("\t".join(shown), flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    cases = []
    show(
        "", "slots", "one", "short", "long", "alpha", "rho", "saved", "closed form", "preempted", ""
    )
    for name, drawn in TRACES.items():
        random = np.random.default_rng(asked.seed)
        requests = traffic(drawn(random, asked.requests, CONTEXTS[-1]), random)
        for rule, slots in RULES.items():
            found = capacity(requests, slots)
            gain = found.short / found.one
            closed = found.alpha * (1 - 1 / gain)
            show(name, rule, *found[:4], gain, found.saved, closed, *found[4:])
            cases.append((name, rule, requests, found))
    show("", "slots", "", "prompts by", "servers", "misrouted", "spilled", "preempted", "p99")
    for name, rule, requests, found in cases:
        rate, fleets = sizes(found)
        for setting, servers in fleets.items():
            each = RULES[rule][-len(servers) :]
            for way in WAYS if setting == "pools" else WAYS[:1]:
                cells = fleet(requests, servers, each, rate, way, asked.seed)
                show(name, rule, setting, way, servers, *cells)


if __name__ == "__main__":
    main()
