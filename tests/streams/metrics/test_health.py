"""Probes of a process whose work is on an event loop."""

from __future__ import annotations

import asyncio
import time

import pytest

from streams.metrics import health


async def test_what_the_loop_says() -> None:
    """A probe is called on the loop; what it raises is a reason too."""
    wrong: list[str] = []
    probes = health.on_loop(lambda: wrong)
    assert await asyncio.to_thread(probes.ready) == []
    wrong.append("no broker answers")
    assert await asyncio.to_thread(probes.ready) == ["no broker answers"]
    assert await asyncio.to_thread(probes.alive) == ()
    broken = health.on_loop(lambda: [str(1 // 0)])
    assert "ZeroDivisionError" in (await asyncio.to_thread(broken.ready))[0]


async def test_a_loop_that_hangs_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a restart helps."""
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    probes = health.on_loop(health.well)
    asked = asyncio.create_task(asyncio.to_thread(probes.alive))
    await asyncio.sleep(0)
    time.sleep(0.2)
    assert "has not answered" in (await asked)[0]


def test_a_closed_loop() -> None:
    """The process ends; it must not hang on that."""

    async def made() -> health.Health:
        return health.on_loop(health.well)

    assert "closed" in asyncio.run(made()).alive()[0]
