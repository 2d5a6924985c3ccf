"""Runs a Faust app until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faust


class RouterWorker(faust.Worker):
    """A Faust worker that leaves signals to its caller, and says when it begins to stop."""

    def __init__(
        self,
        app: faust.App,
        stopping: Callable[[], None],
        **settings: Any,
    ) -> None:
        """Args:
        app: What to run.
        stopping: Called when the end begins, for whatever reason.
        settings: More of Faust's.
        """
        super().__init__(app, **settings)
        self._stopping = stopping

    def install_signal_handlers(self) -> None:
        """Install none."""

    def stop_soon(self) -> None:
        """Begin to stop. To be called from any thread; RuntimeError where the loop is closed."""
        self.loop.call_soon_threadsafe(self._on_sigterm)

    async def stop(self) -> None:
        """Stop the app and everything in it."""
        self._stopping()
        await super().stop()
