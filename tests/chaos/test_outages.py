"""A model server that dies and comes back, workers that stand still, and a topic that grows, under
load: money is kept, and no query fails for the server's absence."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from schemas.result import FAILED
from streams.brokers.kafka import KafkaServer
from tests.e2e.test_paused_workers import ended
from tests.support import invariants
from tests.support.chaos import RATE
from tests.support.growth import grow
from tests.support.records import Record
from tests.support.scripted_model import ScriptedModel
from tests.support.system import System
from tests.support.two_models import PAIR, PRICES, settings, spent, start_worker, two_models

OUTAGES = int(os.environ.get("SLUICE_OUTAGES", "1"))
"""`make chaos OUTAGES=5` is what docs/reliability.md reports."""
GROWN = 6
WORKERS = ("w0", "w1")


@pytest.mark.kafka
def test_a_server_dies_while_a_worker_stands_still(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """Each time the worker that has the queries is stopped in the middle of its calls, the server
    dies with them, and both come back when the calls' reservations are over.

    Every query is answered but those that the worker had begun, which end with their reservations,
    and those whose calls were cut. No limit is exceeded at any record, the server bills no more
    than is charged, and the audit is equal.
    """
    server = ScriptedModel()
    keys = settings(server, concurrency=16)
    keys[f'models."{PAIR[1]}"']["concurrency"] = 16
    keys["reservation"] = {"mode": "max", "deadline_seconds": 8.0}
    keys["failover"] = {"unbegun": True}
    size = round(RATE * 180 * (OUTAGES + 1))
    with (
        closing(server),
        two_models(
            kafka_broker, tmp_path, prefix, keys, size=size, past=500, model_partitions=2
        ) as system,
    ):
        system.limits = [100 * 10**9] * len(PAIR)
        system.start_router("r0")
        for name in WORKERS:
            start_worker(system, name)
        system.produce_meanwhile(rate=RATE)
        for number in range(OUTAGES):
            more_answers(system)
            begin_outage(system, server, WORKERS[number % 2])
            if number == OUTAGES // 2:
                grow(system, GROWN)
            end_outage(system, server, WORKERS[number % 2])
        more_answers(system)
        system.enough()
        system.wait_decided()
        assert all("is held" in reason for reason in ended(system))
        check(system, server)
        system.sluice("audit")
        count, held, calls = len(system.sent), len(ended(system)), len(server.asked[""])
        print(f"{OUTAGES} outages, {count} queries, {calls} calls, {held} of them held")


def begin_outage(system: System, server: ScriptedModel, worker: str) -> None:
    """Stop a worker in the middle of its calls, and have the server die with them."""
    server.open.clear()
    begun = len(server.asked[""])
    system.wait("calls of both workers", lambda: len(server.asked[""]) >= begun + 20)
    system.children[worker].pause()
    server.die()


def end_outage(system: System, server: ScriptedModel, worker: str) -> None:
    """Bring both back when the reservations of the worker's calls have ended."""
    before = len(ended(system))
    system.wait("the end of what had begun", lambda: len(ended(system)) > before)
    server.come_back()
    system.children[worker].resume()
    system.children[worker].stopping = False


def more_answers(system: System) -> None:
    """Wait until half a hundred more queries have been answered."""
    before = answered(system)
    system.wait("answers", lambda: len(answered(system) - before) >= 50)


def answered(system: System) -> set[str]:
    """Ids of the queries that have an answer."""
    told = map(Record.json, system.read(system.topics.results))
    return {one["id"] for one in told if one["status_code"] < FAILED}


def given_up(system: System) -> set[str]:
    """Ids of the queries that ended with their reservations, or whose calls were cut."""
    told = map(Record.json, system.read(system.topics.results))
    cut = {one["id"] for one in told if one["status_code"] >= FAILED and one.get("estimated")}
    return cut | {record.json()["id"] for record in system.read(system.topics.rejected)}


def check(system: System, server: ScriptedModel) -> None:
    """Every query has ended, by an answer or as it may; what the server bills is charged."""
    ids = system.sent.keys()
    system.wait("the end of every query", lambda: ids == answered(system) | given_up(system))
    system.wait_settled()
    story = invariants.Story.of(system)
    invariants.within_limits(story)
    invariants.same_messages(story)
    billed = sum(PRICES[body["model"]] for body in server.asked[""])
    assert billed <= sum(spent(system, model) for model in PAIR)
