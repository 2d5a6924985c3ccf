"""Ends a router whose tables' recovery stands still.

Faust waits for ever for the last records of a changelog, also for some that it has dropped on the
way: the process has its partitions then, sends heartbeats, and decides nothing. Started again, it
recovers, and meanwhile others have them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from faust.types import AppT

from streams.kafka.fatal import die

STILL = 60.0
"""Seconds without one record more after which a recovery is given up."""
LOOK = 5.0
"""Seconds between two looks. A process that was paused has looked no more often."""


async def watch(app: AppT, answers: Callable[[], bool], look: float = LOOK) -> None:
    """End the process when its recovery stands still, though a broker answers.

    Args:
        app: Whose tables recover.
        answers: Asks the broker something, in a thread; returns whether it has answered.
        look: Seconds between two looks.
    """
    looks, before = 0, None
    while True:
        await asyncio.sleep(look)
        now = _progress(app)
        looks = looks + 1 if now is not None and now == before else 0
        before = now
        if looks < STILL / look:
            continue
        looks = 0
        if await asyncio.to_thread(answers) and _progress(app) == now:
            left = now[1] if now else 0
            die(f"the recovery of the tables stands still, with {left} records left")


def _progress(app: Any) -> tuple[int, int] | None:
    """Return which recovery goes on, and the records that it has left; None where none does."""
    if not app.in_recovery:
        return None
    return app.consumer_generation_id, app.tables.recovery.active_remaining_total()
