"""The Faust worker leaves signals to its caller."""

from __future__ import annotations

import asyncio
import signal
import threading
from unittest.mock import AsyncMock, patch

import faust

from streams.runtime.faust_worker import RouterWorker


async def test_it_can_be_told_from_any_thread() -> None:
    """As a signal would have told it; no handler of a signal is installed."""
    before, told = signal.getsignal(signal.SIGTERM), asyncio.Event()
    app = faust.App("test", broker="memory://", web_enabled=False)
    worker = RouterWorker(app, lambda: None, loop=asyncio.get_running_loop())
    worker.install_signal_handlers()
    assert signal.getsignal(signal.SIGTERM) is before
    with patch.object(worker, "_on_sigterm", told.set):
        thread = threading.Thread(target=worker.stop_soon)
        thread.start()
        await told.wait()
        thread.join()


async def test_it_says_when_it_begins_to_stop() -> None:
    """Before anything of it is stopped."""
    order: list[str] = []
    app = faust.App("test", broker="memory://", web_enabled=False)
    worker = RouterWorker(app, lambda: order.append("said"), loop=asyncio.get_running_loop())
    with patch.object(faust.Worker, "stop", AsyncMock(side_effect=lambda: order.append("stop"))):
        await worker.stop()
    assert order == ["said", "stop"]
