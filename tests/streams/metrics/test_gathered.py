"""What must hold of gathered metrics: sums over processes that never fall, and their probes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.brokers.kafka import free_port
from streams.metrics.gathered import Gathered, Member, health_of
from streams.metrics.health import Health
from streams.metrics.server import serve


class Process:
    """The metrics of one process, served."""

    def __init__(self, stack: ExitStack, wrong: tuple[str, ...] = ()) -> None:
        registry = CollectorRegistry()
        self.decisions = Counter("sluice_route_decisions_total", "D", ("model",), registry=registry)
        self.waiting = Gauge("sluice_deferred_waiting", "W", registry=registry)
        self.version = Gauge("sluice_price_version", "V", registry=registry)
        self.latency = Histogram("sluice_route_latency_seconds", "L", registry=registry)
        self.port = free_port()
        health = Health(ready=lambda: wrong)
        stack.callback(serve(registry, "127.0.0.1", self.port, health))

    def member(self, name: str, life: int = 1) -> Member:
        return Member(name, life, self.port)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def values(gathered: Gathered) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in gathered.collect()
        for sample in family.samples
    }


def test_it_adds_up_and_takes_the_largest_of_what_is_alike(stack: ExitStack) -> None:
    """Counts, histograms and gauges are sums; what every process says the same stands once."""
    one, two = Process(stack), Process(stack)
    for process, count in ((one, 2), (two, 3)):
        process.decisions.labels("a").inc(count)
        process.waiting.set(count)
        process.version.set(7)
        process.latency.observe(0.1)
    one.decisions.labels("b").inc()
    found = values(Gathered(lambda: [one.member("r-1"), two.member("r-2")], lambda: 4))
    assert found["sluice_route_decisions_total", "a"] == 5
    assert found["sluice_route_decisions_total", "b"] == 1
    assert found["sluice_deferred_waiting",] == 5
    assert found["sluice_price_version",] == 7
    assert found["sluice_route_latency_seconds_count",] == 2
    assert found["sluice_route_processes",] == 2
    assert found["sluice_route_restarts_total",] == 4


def test_counts_of_a_process_that_has_ended_stay(stack: ExitStack) -> None:
    """So does not what it held; a process that does not answer is left out."""
    one, two, again = Process(stack), Process(stack), Process(stack)
    for process in (one, two):
        process.decisions.labels("a").inc(2)
        process.waiting.set(5)
    running = [one.member("r-1"), two.member("r-2")]
    gathered = Gathered(lambda: running, lambda: 0)
    assert values(gathered)["sluice_route_decisions_total", "a"] == 4
    again.decisions.labels("a").inc()
    running[:] = [again.member("r-1", 2), two.member("r-2"), Member("r-3", 1, free_port())]
    for _ in range(2):
        found = values(gathered)
        assert found["sluice_route_decisions_total", "a"] == 5
        assert found["sluice_deferred_waiting",] == 5
        assert found["sluice_route_processes",] == 2


def test_a_group_is_ready_when_all_of_it_is(stack: ExitStack) -> None:
    """Each reason names its process; one that is missing is a reason, but none for a restart."""
    well, busy = Process(stack), Process(stack, ("owns no partition",))
    running = [well.member("r-1"), busy.member("r-2")]
    health = health_of(lambda: running, 2)
    assert health.ready() == ["r-2: owns no partition"]
    running.pop()
    assert [line.partition(" ")[0] for line in health.ready()] == ["1"]
    assert health.alive() == []
    running.append(Member("r-2", 2, free_port()))
    assert health.ready() == ["r-2: does not answer"]
    running[1] = well.member("r-2", 2)
    assert health.ready() == []
