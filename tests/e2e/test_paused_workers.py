"""Workers that stand still in the middle of calls: what was begun keeps its money."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from streams.brokers.kafka import KafkaServer
from tests.support.hard_edges import INPUT, OUTPUT
from tests.support.invariants import Story, within_limits
from tests.support.scripted_model import Reply, ScriptedModel, completion
from tests.support.system import System
from tests.support.two_models import (
    PAIR,
    SMALL,
    ask,
    charged,
    named,
    reserved,
    results,
    send,
    settings,
    spent,
    start,
    two_models,
    wait_answered,
)

pytestmark = pytest.mark.kafka


def test_a_worker_that_stands_still_in_its_calls(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """Stopped from the middle of its calls until their queries have ended, under a limit that
    pays for these calls alone: the money is not given to others, and the server bills no more than
    the limit. The answers that come at last are charged to what was held."""
    server, limit = ScriptedModel(), 600_000
    server.otherwise = Reply(completion({"prompt_tokens": 60, "completion_tokens": "X"}))
    server.otherwise = Reply(server.otherwise.body.replace(b'"X"', b"{MAX}"))
    keys = settings(server, **{"budget.limit": f"{limit / 1e9:.9f}"})
    keys["reservation"] = {"mode": "max", "deadline_seconds": 8.0}
    with (
        closing(server),
        two_models(kafka_broker, tmp_path, prefix, keys, partitions=1) as system,
    ):
        system.limits = [limit, 100 * 10**9]
        start(system)
        server.open.clear()
        send(system, ask(named("stopped", 8), max_tokens=300))
        system.wait("calls", lambda: bool(server.asked[""]) and reserved(system, SMALL) > 0)
        system.children["w0"].pause()
        held = reserved(system, SMALL)
        system.wait("the end of their queries", lambda: bool(ended(system)))
        server.open.set()
        assert all("is held" in reason for reason in ended(system))
        send(system, ask(named("later", 8), max_tokens=300))
        system.wait_decided()
        assert reserved(system, SMALL) == held
        system.children["w0"].resume()
        system.children["w0"].stopping = False
        system.wait_settled()
        last = named("last", 1)
        send(system, ask(last, model=PAIR[1]))
        wait_answered(system, last)
        system.wait_settled()
        assert charged_small(server) <= limit
        assert 0 < spent(system, SMALL) <= limit
        assert len(results(system)) >= 2
        within_limits(Story.of(system))
        system.sluice("audit")


def charged_small(server: ScriptedModel) -> int:
    """Nano-units that the server would bill for its calls of the cheap model."""
    server.asked[""] = [body for body in server.asked[""] if body["model"] == SMALL]
    return charged(server)


def ended(system: System) -> list[str]:
    """Why queries have ended at the deadlines of their reservations."""
    refused = [record.json() for record in system.read(system.topics.rejected)]
    return [one["reason"] for one in refused if one["code"] == "deadline_exceeded"]


def test_a_server_that_is_away_for_longer_than_a_reservation(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """Its queries are decided again, as often as it takes: none fails, and each is charged once."""
    server, count = ScriptedModel(), 20
    server.otherwise = Reply(b"", 429, {"Retry-After": "1"})
    keys = settings(server)
    keys["reservation"] = {"mode": "max", "deadline_seconds": 6.0}
    with (
        closing(server),
        two_models(kafka_broker, tmp_path, prefix, keys) as s,
    ):
        start(s)
        waiting = named("waiting", count)
        send(s, ask(waiting))
        s.wait("second decisions", lambda: len(s.read(s.topics.routed(SMALL))) > count)
        server.otherwise = Reply()
        wait_answered(s, waiting)
        s.wait_settled()
        assert not ended(s)
        assert len(s.read(s.topics.results)) == count
        assert spent(s, SMALL) == count * (10 * INPUT + 20 * OUTPUT)
        s.sluice("audit")
