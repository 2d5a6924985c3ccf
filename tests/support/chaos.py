"""Seeded kills and pauses of what runs, under load, and what the system did meanwhile."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from streams.brokers.kafka import KafkaServer
from tests.support.growth import grow
from tests.support.patience import PATIENCE
from tests.support.system import System

ROUTERS = ("r0", "r1", "r2")
WORKERS = ("w0", "w1")
RATE = float(os.environ.get("SLUICE_RATE", "30"))
"""Queries a second; `make chaos` sends 60."""
GUEST = "r3"
"""A router that joins, and leaves in order."""
LATENCY = 0.1
"""Median seconds of an answer, so that some are in hand at every kill."""
_TOLD = re.compile(r"^(\S+) INFO \S+: (is|gives up) the controller", re.MULTILINE)


@dataclass
class Chaos:
    """Kills processes of a running system, and brings them back."""

    system: System
    broker: KafkaServer
    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    takeovers: list[float] = field(default_factory=list)
    restarts: int = 0
    joined: int = 0
    pauses: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def start(self) -> None:
        """Start the usual processes and wait until each has its part."""
        for name in ROUTERS:
            self.system.start_router(name)
        for name in WORKERS:
            self._bring_back(name)
        self.system.wait_members(len(ROUTERS))

    def kill_one(self) -> None:
        """kill -9 of a router, of the one that holds the controller, or of a worker; it comes back
        at once, or when others have taken over, or only after the next kill."""
        kind = self._random.choice(("router", "controller", "worker"))
        name = {"router": self._random.choice(ROUTERS), "worker": self._random.choice(WORKERS)}.get(
            kind
        ) or self._controller()
        if self.system.children[name].process.poll() is not None:  # still dead
            self._bring_back(name)
        killed_at = time.time()
        self.system.kill(name)
        self.kills[kind] += 1
        how = self._random.choice(("at once", "after takeover", "later"))
        if how == "at once":
            self._bring_back(name)
        if kind != "worker" and how != "later":
            self.takeovers.append(takeover(self.system, killed_at))
        else:
            self._progress(20)
        self._revive(but=name if how == "later" else None)

    def pause_one(self) -> None:
        """A router, or the one that holds the controller, stands still until others have all of
        its partitions, and goes on; in between another may be killed."""
        self._revive()
        self.system.wait_members(len(ROUTERS))
        kind = self._random.choice(("router", "controller"))
        name = self._controller() if kind == "controller" else self._random.choice(ROUTERS)
        paused_at = time.time()
        self.system.children[name].pause()
        self.pauses[kind] += 1
        takeover(self.system, paused_at)
        if self._random.random() < 0.3:
            other = self._random.choice([each for each in ROUTERS if each != name])
            killed_at = time.time()
            self.system.kill(other)
            self.kills["router"] += 1
            takeover(self.system, killed_at)
            self._bring_back(other)
        go_on(self.system, name, len(ROUTERS))

    def restart_broker(self) -> None:
        """The only broker crashes, or stops in order, and comes back with its data.

        Nobody is starting then: a process that finds no broker at its start says so and ends.
        """
        self._revive()
        self.system.wait_members(len(ROUTERS))
        self.broker.kill() if self._random.random() < 0.5 else self.broker.stop()
        self.broker.start()
        self.restarts += 1
        self._progress(20)

    def join_and_leave(self) -> None:
        """One more router takes part for a while, and leaves in order."""
        self._revive()
        self.system.start_router(GUEST)
        self.system.wait_members(len(ROUTERS) + 1)
        self._progress(20)
        assert self.system.stop(GUEST) == 0, "a router that is asked to end says 0"
        self.joined += 1

    def grow(self, partitions: int) -> None:
        """Partitions are added while a router is dead; it comes back, and all share them."""
        self._revive()
        name = self._random.choice(ROUTERS)
        self.system.kill(name)
        self.kills["router"] += 1
        grow(self.system, partitions)
        self._bring_back(name)
        self.system.wait_members(len(ROUTERS))
        self._progress(20)

    def settle(self) -> None:
        """Bring everybody back, let the load end, and wait until nothing is reserved."""
        self._revive()
        self.system.enough()
        self.system.wait_settled()

    def report(self) -> str:
        """What was done to it, in words."""
        worst = max(self.takeovers, default=0.0)
        mean = sum(self.takeovers) / max(len(self.takeovers), 1)
        killed = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills -9 ({killed}), {self.restarts} broker restarts, "
            f"{self.pauses.total()} pauses ({self.pauses['controller']} of the controller; "
            f"{self.system.superseded} processes were superseded and ended), "
            f"{self.joined} joins and leaves, seed {self.seed}; "
            f"{len(self.system.sent):,} queries; all partitions were decided on again "
            f"{mean:.1f} s after a kill (mean), {worst:.1f} s at worst"
        )

    def _controller(self) -> str:
        return controller(self.system, ROUTERS) or self._random.choice(ROUTERS)

    def _revive(self, but: str | None = None) -> None:
        self.system.look_after("the next blow")
        for name in (*ROUTERS, *WORKERS):
            if name != but and self.system.children[name].process.poll() is not None:
                self._bring_back(name)

    def _bring_back(self, name: str) -> None:
        if name in WORKERS:
            self.system.start_worker(name, latency=LATENCY)
        else:
            self.system.start_router(name)

    def _progress(self, count: int) -> None:
        before = len(self.system.decided())
        self.system.wait(
            f"{count} more decisions", lambda: len(self.system.decided()) >= before + count
        )


def controller(system: System, names: Sequence[str]) -> str | None:
    """The router that is the controller, by its log: of those that have not given it up, the last
    to become it."""
    since = {}
    for name in names:
        told = _TOLD.findall(system.children[name].log.read_text(errors="replace"))
        if told and told[-1][1] == "is" and system.children[name].process.poll() is None:
            since[name] = told[-1][0]
    return max(since, key=since.__getitem__, default=None)


def go_on(system: System, name: str, routers: int) -> None:
    """Let a paused router go on, until all take part again: it has rejoined, or it has ended by
    itself and been started again.

    One that was paused amid taking over may go on with it, and supersede the rightful owner.
    """
    system.children[name].resume()
    system.wait_members(routers)


def takeover(system: System, killed_at: float, timeout: float = PATIENCE) -> float:
    """Wait until every partition has been decided on after `killed_at` (Unix seconds).

    Returns the longest time that a partition had to wait, by the receipts' own clock.
    """
    first: dict[int, float] = {}
    seen = 0

    def all_again() -> bool:
        nonlocal seen
        receipts = system.read(system.topics.receipts)
        for record in receipts[seen:]:
            receipt = record.json()
            if receipt["decided_at"] > killed_at:
                first.setdefault(receipt["source"]["partition"], receipt["decided_at"])
        seen = len(receipts)
        return len(first) == system.partitions

    system.wait("every partition to be decided on again", all_again, timeout)
    return max(first.values()) - killed_at


def stop_all(system: System) -> None:
    """End every process in order; each says 0."""
    for name, child in system.children.items():
        if child.process.poll() is None:
            assert child.end(signal.SIGTERM) == 0, name
