"""The pause that all queries of a backend share."""

from __future__ import annotations

import asyncio
import logging

import pytest

from streams.worker import circuit_breaker
from streams.worker.circuit_breaker import CircuitBreaker, Permit


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_breaker, "FIRST_PAUSE", 0.02)


async def test_all_calls_pass_while_it_is_up() -> None:
    """Answers and a few calls without one change nothing."""
    breaker = CircuitBreaker("m", patience=3)
    for _ in range(5):
        assert await breaker.admit(0.0) is Permit.CALL
        breaker.unanswered(Permit.CALL)
        breaker.unanswered(Permit.CALL)
        breaker.answered(Permit.CALL)
    assert breaker.is_up


async def test_one_probe_while_it_is_down(caplog: pytest.LogCaptureFixture) -> None:
    """The others wait until it is answered, and then all go; the log says so once each way."""
    caplog.set_level(logging.INFO)
    changes: list[bool] = []
    breaker = CircuitBreaker("m", changed=lambda: changes.append(breaker.is_up))
    for _ in range(3):
        breaker.unavailable(Permit.CALL, "429: slow down", None)
    assert not breaker.is_up
    waiting = [asyncio.create_task(breaker.admit(None)) for _ in range(5)]
    for _ in range(2):
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [Permit.PROBE]
        waiting = [task for task in waiting if task not in done]
        breaker.unavailable(Permit.PROBE, "429: slow down", None)
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    breaker.answered(Permit.CALL)  # of a call that began before it was down
    assert not breaker.is_up
    breaker.answered(Permit.PROBE)
    rest = await asyncio.gather(*(task for task in waiting if task not in done))
    assert rest == [Permit.CALL] * 2
    assert changes[-1]
    assert ["takes no calls" in record.message for record in caplog.records] == [True, False]


async def test_what_the_server_asks_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No probe before that time; an absurd one is cut, and a past one is no invitation."""
    monkeypatch.setattr(circuit_breaker, "LONGEST_RETRY_AFTER", 0.3)
    loop = asyncio.get_running_loop()
    for asked, least in ((0.1, 0.1), (1e18, 0.3), (0.0, 0.01), (-5.0, 0.01)):
        breaker = CircuitBreaker("m")
        began = loop.time()
        breaker.unavailable(Permit.CALL, "429", asked)
        assert await breaker.admit(0.001) is None
        assert await breaker.admit(None) is Permit.PROBE
        assert loop.time() - began >= least


async def test_a_server_that_never_answers_is_down() -> None:
    """After so many calls in a row; a probe that is not answered leaves it so."""
    breaker = CircuitBreaker("m", patience=2)
    breaker.unanswered(Permit.CALL)
    assert breaker.is_up
    breaker.unanswered(Permit.CALL)
    assert not breaker.is_up
    assert await breaker.admit(None) is Permit.PROBE
    breaker.unanswered(Permit.PROBE)
    assert not breaker.is_up
    assert await breaker.admit(None) is Permit.PROBE
    breaker.answered(Permit.PROBE)
    assert breaker.is_up


async def test_an_abandoned_probe_is_anothers() -> None:
    """A query that is given back does not leave the others waiting."""
    breaker = CircuitBreaker("m")
    breaker.unavailable(Permit.CALL, "no connection", None)
    assert await breaker.admit(None) is Permit.PROBE
    assert await breaker.admit(0.001) is None
    breaker.abandoned(Permit.PROBE)
    assert await breaker.admit(0.001) is Permit.PROBE
