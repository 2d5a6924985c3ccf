"""When calls start, and when they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas import Result, Routed
from streams.worker import circuit_breaker
from streams.worker.backends.base import (
    DEADLINE_EXCEEDED,
    INFERENCE_ERROR,
    Backend,
    BackendUnavailable,
    failed,
    succeeded,
)
from streams.worker.call_starts import CallStarts, Fate
from streams.worker.caller import Caller, GivenBack
from streams.worker.circuit_breaker import CircuitBreaker, Permit
from streams.worker.jobs import Job, Place
from tests.support.worker_place import routed

NOW = 2000.0


class Scripted(Backend):
    """Refuses calls `refusals` times, then answers after `seconds`."""

    def __init__(self, refusals: int = 0, seconds: float = 0.0) -> None:
        self.refusals, self.seconds = refusals, seconds
        self.asked: list[Routed] = []

    async def answer(self, routed: Routed) -> Result:
        self.asked.append(routed)
        if len(self.asked) <= self.refusals:
            raise BackendUnavailable("no connection", 0.0)
        await asyncio.sleep(self.seconds)
        return succeeded(routed, cost=1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_breaker, "FIRST_PAUSE", 0.01)


def job(**fields: Any) -> Job:
    return Job(routed("a", **fields), [], Place(0, 0))


class Starts(CallStarts):
    """Of two workers: what this one announces, and what another one has said."""

    def __init__(self, told: Fate = "unknown") -> None:
        self.told = told
        self.announced: list[str] = []
        self.returned: list[str] = []

    async def announce(self, routed: Routed) -> None:
        self.announced.append(routed.id)

    async def give_back(self, routed: Routed) -> None:
        self.returned.append(routed.id)

    async def fate(self, routed: Routed) -> Fate:
        return self.told


def caller(
    backend: Backend, breaker: CircuitBreaker | None = None, starts: Starts | None = None
) -> Caller:
    breaker = breaker or CircuitBreaker("m")
    return Caller(backend, breaker, lambda: NOW, 4.0, starts or Starts())


async def answer(one: Caller, job: Job) -> Result:
    result = await one.answer(job, lambda job: True)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"deadline": NOW}, "deadline"),
        ({"start_by": NOW}, "start_by"),
        ({"start_by": NOW + 5, "deadline": NOW - 5}, "deadline"),
        ({"release_at": NOW - 1, "deadline": NOW - 6}, "deadline"),
    ],
)
async def test_no_call_starts_too_late(fields: dict[str, Any], name: str) -> None:
    """Its result says so, and costs nothing."""
    backend = Scripted()
    result = await answer(caller(backend), job(**fields))
    assert (result.status_code, result.cost, result.estimated) == (504, 0, False)
    assert result.error is not None
    assert result.error.code == DEADLINE_EXCEEDED
    assert f"never started: its {name} passed" in result.error.message
    assert backend.asked == []


@pytest.mark.parametrize(
    ("fields", "deadline"),
    [
        ({}, None),
        ({"deadline": NOW + 1}, NOW + 1),
        ({"release_at": NOW + 10}, NOW + 6),
        ({"release_at": NOW + 10, "deadline": NOW + 1}, NOW + 1),
        ({"release_at": NOW + 10, "deadline": NOW + 9}, NOW + 6),
        ({"release_at": NOW + 3, "start_by": NOW + 1}, NOW + 1),
    ],
)
async def test_a_call_ends_before_the_release(
    fields: dict[str, Any], deadline: float | None
) -> None:
    """The backend is told to, a margin earlier."""
    backend = Scripted()
    result = await answer(caller(backend), job(**fields))
    assert result.status_code == 200
    assert [asked.deadline for asked in backend.asked] == [deadline]


class Silent(Backend):
    """Calls a server that says nothing."""

    def __init__(self, code: str) -> None:
        self.code = code

    async def answer(self, routed: Routed) -> Result:
        return failed(routed, 504, self.code, "no answer in time", cost=7)


@pytest.mark.parametrize("code", [INFERENCE_ERROR, DEADLINE_EXCEEDED])
async def test_a_silent_server_is_told(code: str) -> None:
    """Whether its time or the query's was over: the circuit opens."""
    breaker = CircuitBreaker("m", patience=1)
    await answer(caller(Silent(code), breaker), job())
    assert not breaker.is_up


async def test_a_backend_that_does_not_end_is_cut() -> None:
    """Nobody knows what it cost: it is charged the reservation."""
    result = await answer(
        caller(Scripted(seconds=60)), job(release_at=NOW + 3.05, start_by=NOW + 0.01, reserved=77)
    )
    assert (result.status_code, result.cost, result.estimated) == (504, 77, True)


async def test_a_server_that_is_away_is_waited_for() -> None:
    """The same query is asked again until it is answered."""
    backend, breaker = Scripted(refusals=3), CircuitBreaker("m")
    result = await answer(caller(backend, breaker), job())
    assert (result.status_code, len(backend.asked)) == (200, 4)
    assert breaker.is_up


async def test_only_its_own_deadline_ends_the_wait() -> None:
    """A server that stays away costs nothing."""
    breaker = CircuitBreaker("m")
    breaker.unavailable(Permit.CALL, "429", 60.0)
    result = await answer(caller(Scripted(), breaker), job(deadline=NOW + 0.05))
    # The clock stands still here: what has passed is the wait for a permit.
    assert (result.status_code, result.cost) == (504, 0)


async def test_a_job_that_is_given_back_is_not_called() -> None:
    """Not even where its turn to probe has come; the next one probes."""
    breaker = CircuitBreaker("m")
    breaker.unavailable(Permit.CALL, "429", None)
    backend, mine = Scripted(), [True]
    waiting = asyncio.create_task(caller(backend, breaker).answer(job(), lambda job: mine[0]))
    await asyncio.sleep(0)
    mine[0] = False
    assert await waiting is None
    assert backend.asked == []
    assert await breaker.admit(None) is Permit.PROBE


async def test_a_call_is_announced_before_it_begins() -> None:
    """Once, however often the server is asked; not where no reservation ends."""
    starts, backend = Starts(), Scripted(refusals=2)
    await answer(caller(backend, starts=starts), job(release_at=NOW + 10))
    assert (starts.announced, len(backend.asked)) == (["a"], 3)
    await answer(caller(Scripted(), starts=starts), job())
    assert starts.announced == ["a"]


async def test_a_call_is_not_made_where_the_announcement_took_too_long() -> None:
    """The query is given back: this worker knows that it has made none."""
    starts, backend = Starts("begun"), Scripted()
    one = Caller(
        backend,
        CircuitBreaker("m"),
        lambda: NOW + 6 * len(starts.announced),
        4.0,
        starts,
    )
    with pytest.raises(GivenBack):
        await answer(one, job(release_at=NOW + 10, start_by=NOW + 5))
    assert (starts.announced, starts.returned, backend.asked) == (["a"], ["a"], [])


async def test_what_another_worker_has_begun_is_charged() -> None:
    """Where its time is over, and that worker has not told of its end."""
    result = await answer(
        caller(Scripted(), starts=Starts("begun")), job(release_at=NOW + 3, reserved=77)
    )
    assert (result.status_code, result.cost, result.estimated) == (504, 77, True)


@pytest.mark.parametrize("announced", [False, True])
async def test_what_another_worker_has_given_back_is_left_alone(announced: bool) -> None:
    """The router decides it again: an end of this decision would look like the query's."""
    one = job(release_at=NOW - 1)
    one.announced = announced
    with pytest.raises(GivenBack):
        await answer(caller(Scripted(), starts=Starts("returned")), one)


async def test_what_has_time_left_is_given_back() -> None:
    """The server took no calls until it was too late to begin: the router may decide again."""
    starts, breaker = Starts(), CircuitBreaker("m")
    breaker.unavailable(Permit.CALL, "429", 60.0)
    one = caller(Scripted(), breaker, starts)
    with pytest.raises(GivenBack):
        await answer(one, job(start_by=NOW + 0.05, release_at=NOW + 9))
    with pytest.raises(GivenBack):
        await answer(one, job(release_at=NOW - 1))
    assert starts.returned == ["a", "a"]
    result = await answer(one, job(start_by=NOW + 0.05, release_at=NOW + 9, deadline=NOW))
    assert (result.status_code, result.cost) == (504, 0)
