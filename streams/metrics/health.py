"""What a process answers to the probes: whether it is alive, and whether it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

PATIENCE = 4.0
"""Seconds in which an event loop must answer; more than a collection of garbage takes, less than
the timeout of a probe."""

Probe = Callable[[], Sequence[str]]
"""Returns what is wrong, a sentence each; nothing where all is well. Called from any thread."""


def well() -> Sequence[str]:
    """Find nothing wrong."""
    return ()


class Health(NamedTuple):
    """The probes of a process.

    Attributes:
        alive: What is wrong so that only a restart helps (/healthz).
        ready: What is wrong or missing so that it does no work now (/readyz).
    """

    alive: Probe = well
    ready: Probe = well


WELL = Health()


def on_loop(not_ready: Probe) -> Health:
    """Return the health of a process whose work is done on the running event loop.

    It is alive as long as the loop answers.

    Args:
        not_ready: Called on the loop.
    """
    loop = asyncio.get_running_loop()

    def ask(probe: Probe) -> Sequence[str]:
        answer: Future[Sequence[str]] = Future()

        def call() -> None:
            try:
                answer.set_result(probe())
            except Exception as error:
                answer.set_result([f"{type(error).__name__}: {error}"])

        try:
            loop.call_soon_threadsafe(call)
            return answer.result(PATIENCE)
        except TimeoutError:
            return [f"the event loop has not answered for {PATIENCE:g} seconds"]
        except RuntimeError:
            return ["the event loop is closed: the process ends"]

    return Health(lambda: ask(well), lambda: ask(not_ready))
