"""A recovery that stands still ends the process, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from streams.runtime import recovery_watch
from streams.runtime.recovery_watch import watch


class Ended(Exception):
    """In place of the end of the process."""


class Recovery:
    """Of an app, with as many records left as `left` says at each look."""

    def __init__(self, left: Callable[[int], int]) -> None:
        self.looks = 0
        self.left = left

    def active_remaining_total(self) -> int:
        self.looks += 1
        return self.left(self.looks)


def app(recovery: Recovery, in_recovery: bool = True) -> Any:
    tables = SimpleNamespace(recovery=recovery)
    return SimpleNamespace(in_recovery=in_recovery, consumer_generation_id=3, tables=tables)


@pytest.fixture(autouse=True)
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(reason: str) -> None:
        raise Ended(reason)

    monkeypatch.setattr(recovery_watch, "die", end)
    monkeypatch.setattr(recovery_watch, "STILL", 0.003)


async def test_a_recovery_that_stands_still_is_ended() -> None:
    """With the number of records that it lacks."""
    with pytest.raises(Ended, match="7 records left"):
        await watch(app(Recovery(lambda looks: 7)), lambda: True, look=0.001)


@pytest.mark.parametrize(
    ("in_recovery", "left", "answers"),
    [
        (True, lambda looks: 1000 - looks, True),
        (True, lambda looks: 7, False),
        (False, lambda looks: 7, True),
    ],
    ids=["goes on", "no broker", "none"],
)
async def test_others_go_on(in_recovery: bool, left: Callable[[int], int], answers: bool) -> None:
    """Those that get on, those that wait for a broker, and processes that have recovered."""
    asked = 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        return answers

    recovery = Recovery(left)
    watching = asyncio.create_task(watch(app(recovery, in_recovery), ask, look=0.001))
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert not watching.done()
    watching.cancel()
    assert bool(asked) is (not answers)
