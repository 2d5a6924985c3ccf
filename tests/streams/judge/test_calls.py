"""A judge at a server of its own. (Of the deployment: tests/streams/cli/test_judge.py.)"""

from __future__ import annotations

import asyncio

import pytest

from router.models.catalog import Model
from schemas import Result
from schemas.result import Usage
from schemas.route import Routed
from streams.judge import calls
from streams.judge.calls import EndpointCalls, Reply
from streams.judge.verdict import TOKENS
from streams.worker.backends.base import Backend, BackendUnavailable, failed, succeeded
from tests.support.stand_in import completion

MODEL = Model("judge", 1_000_000, 2_000_000)
ASKED = [{"role": "user", "content": "Is it good?"}]


class Scripted(Backend):
    """Does one thing after the other. seen: what was asked."""

    def __init__(self, *endings: Result | Exception) -> None:
        self.endings = list(endings)
        self.seen: list[Routed] = []

    async def answer(self, routed: Routed) -> Result:
        """Do the next."""
        self.seen.append(routed)
        ending = self.endings.pop(0)
        if isinstance(ending, Exception):
            raise ending
        return ending


def routed() -> Routed:
    """A message that results can be made of."""
    backend = Scripted(Result(id="i", decision_id="i", model="judge", status_code=500))
    asyncio.run(EndpointCalls(backend, MODEL).ask("i", ASKED))
    return backend.seen[0]


def test_usage_is_charged_at_the_configured_prices() -> None:
    """A call costs its tokens, and never more than its bound."""
    usage = Usage(prompt_tokens=10, completion_tokens=3)
    backend = Scripted(succeeded(routed(), usage=usage, response=completion("fine", "judge")))
    endpoint = EndpointCalls(backend, MODEL)
    assert asyncio.run(endpoint.ask("i", ASKED)) == Reply("fine", 16)
    assert backend.seen[0].reserved == endpoint.bound(ASKED) >= 16
    assert backend.seen[0].max_tokens == TOKENS


def test_a_failure_has_a_reason_and_its_charge() -> None:
    """What may have been charged counts."""
    backend = Scripted(failed(routed(), 504, "INFERENCE_ERROR", "no answer in time", cost=7))
    reply = asyncio.run(EndpointCalls(backend, MODEL).ask("i", ASKED))
    assert reply.text is None
    assert reply.cost == 7
    assert "no answer in time" in reply.reason


def test_a_server_that_takes_no_calls_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it says, and not for ever."""
    monkeypatch.setattr(calls, "ASKS", 3)
    away = BackendUnavailable("busy", 0.0)
    good = succeeded(routed(), cost=1, response=completion("fine", "judge"))
    assert asyncio.run(EndpointCalls(Scripted(away, away, good), MODEL).ask("i", ASKED)).cost == 1
    endpoint = EndpointCalls(Scripted(away, away, away), MODEL)
    assert asyncio.run(endpoint.ask("i", ASKED)) == Reply(None, 0, "busy")
