"""Ends a process in time: in order after a signal, by force where that takes too long.

What is waited for at a stop (a broker, a provider, a disk) may be away for ever. All that a process
leaves undone comes again: an offset is committed only after what follows from its record. So ending
it by force is safe, and `Stopper` does that after a configured time, and at a second signal.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from streams.kafka.fatal import die

logger = logging.getLogger(__name__)

SIGNALS = frozenset((signal.SIGINT, signal.SIGTERM))
MARGIN = 2
"""Seconds after the deadline at which the kernel ends a process that hangs outside of Python."""


class Stopper:
    """Listens for SIGINT and SIGTERM in a thread of its own, so that nothing can make it deaf.

    Python runs signal handlers in the main thread, which may be inside a blocking call; the number
    of a signal is written to a socket (`signal.set_wakeup_fd`) whatever it does. An event loop must
    install no signal handlers then: it would replace the socket.
    """

    def __init__(self, seconds: float) -> None:
        """seconds: from the first signal to the end, at most."""
        self._seconds = seconds
        self._stop: Callable[[], object] | None = None
        self._began: float | None = None
        self._lock = threading.Lock()
        self._reader, self._writer = socket.socketpair()
        self._before: dict[int, Any] = {}
        self._timer: threading.Timer | None = None

    def listen(self) -> None:
        """Take over the signals. To be called in the main thread.

        Until `stop_with` a signal ends the process at once: it has taken nothing yet.
        """
        self._writer.setblocking(False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()

    def stop_with(self, stop: Callable[[], object]) -> None:
        """Have the first signal call a function, in the thread that listens, to begin the end."""
        self._stop = stop

    def begin(self) -> None:
        """Start the clock, if it does not run: the process ends by itself, or was told to."""
        with self._lock:
            if self._began is not None:
                return
            self._began = time.monotonic()
        signal.alarm(int(self._seconds) + MARGIN)
        self._timer = threading.Timer(self._seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Stop the clock and give the signals back: what could take long has ended."""
        signal.alarm(0)
        if self._timer is not None:
            self._timer.cancel()
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._writer.close()

    def _watch(self) -> None:
        told = False
        while numbers := self._reader.recv(64):
            for number in numbers:
                if number not in SIGNALS:
                    continue
                if told or self._stop is None:
                    _end(number)
                told = True
                self.begin()
                try:
                    self._stop()
                except RuntimeError as error:  # its event loop has just been closed
                    logger.info("the process is ending already: %s", error)

    def _expire(self) -> None:
        die(
            f"the stop took longer than {self._seconds:g} s (process.stop_seconds); "
            "what it leaves undone comes again"
        )


def _end(number: int) -> NoReturn:
    """Exit as a process does that handles no signals, without clean-up."""
    os._exit(128 + number)
