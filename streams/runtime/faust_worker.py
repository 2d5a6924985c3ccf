"""Runs a Faust app until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faust

from streams.runtime.recovery_watch import watch


class RouterWorker(faust.Worker):
    """A Faust worker that leaves signals to its caller, and says when it begins to stop."""

    def __init__(
        self,
        app: faust.App,
        stopping: Callable[[], None],
        answers: Callable[[], bool],
        **settings: Any,
    ) -> None:
        """Args:
        app: What to run.
        stopping: Called when the end begins, for whatever reason.
        answers: Returns whether a broker answers now.
        settings: More of Faust's.
        """
        super().__init__(app, **settings)
        self._stopping = stopping
        self._answers = answers

    async def on_start(self) -> None:
        """Start the app, and watch its recoveries."""
        await super().on_start()
        self.add_future(watch(self.app, self._answers))

    def install_signal_handlers(self) -> None:
        """Install none."""

    def stop_soon(self) -> None:
        """Begin to stop. To be called from any thread; RuntimeError where the loop is closed."""
        self.loop.call_soon_threadsafe(self._on_sigterm)

    async def stop(self) -> None:
        """Stop the app and everything in it."""
        self._stopping()
        await super().stop()
