"""kill -9 of worker processes under load: each query gets its result, each is charged once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.brokers.kafka import KafkaServer
from tests.support import invariants
from tests.support.chaos import RATE
from tests.support.system import System

KILLS = int(os.environ.get("SLUICE_KILLS", "2"))
"""`make chaos` and the report in docs/reliability.md take ten."""
LATENCY = 0.3
"""Seconds of a call: several are in flight at every kill."""


@pytest.mark.kafka
def test_a_killed_worker_loses_no_query(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """Two workers serve all models, one at a time is killed, and comes back at once or later:
    every routed query gets a result, and I1 to I5 and I7 hold to the nano-unit.

    What a dead worker had not committed is answered again, under the same decision id; only the
    first result of a decision is charged.
    """
    names = ("w0", "w1")
    size = round(RATE * 90 * (KILLS + 1))
    in_hand = 0
    with System(kafka_broker, tmp_path, prefix, size=size) as system:
        system.start_router("r0")
        for name in names:
            system.start_worker(name, latency=LATENCY)
        system.produce_meanwhile(rate=RATE)
        for number in range(KILLS):
            more_answers(system)
            # The other one holds all partitions then, and keeps them: it is the next to die.
            name = names[number % 2]
            system.kill(name)
            in_hand += unanswered(system)
            if number % 2:
                system.start_worker(name, latency=LATENCY)
            more_answers(system)
            if not number % 2:
                system.start_worker(name, latency=LATENCY)
        system.enough()
        system.wait_settled()
        story = invariants.hold(system)
        for name in (*names, "r0"):
            assert system.stop(name) == 0, name
        again = len(story.results) - len({result.decision_id for _, result in story.results})
        print(f"{KILLS} kills, {in_hand} queries in hand, {again} of them answered twice")
        assert in_hand, "nobody was working when killed: the test has lost its point"
        assert all(result.status_code == 200 for _, result in story.results)


def more_answers(system: System) -> None:
    """Wait until a hundred more results have come."""
    before = len(system.read(system.topics.results))
    system.wait("answers", lambda: len(system.read(system.topics.results)) > before + 100)


def unanswered(system: System) -> int:
    """How many routed queries have no result yet."""
    topics = map(system.topics.routed, system.models)
    sent = {record.json()["decision_id"] for topic in topics for record in system.read(topic)}
    results = system.read(system.topics.results)
    return len(sent - {record.json()["decision_id"] for record in results})
