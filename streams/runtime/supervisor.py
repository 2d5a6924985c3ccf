"""Keeps several processes of one kind running, and ends them together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from streams.brokers.kafka import free_port
from streams.metrics.gathered import Member

logger = logging.getLogger(__name__)

SUPERVISED = "SLUICE_SUPERVISED"
"""Set for a child: it stops when its standard input ends, as it does where its parent is killed."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a process that has ended is started again; they double each time."""
WELL_AFTER = 60.0
"""Seconds after which the end of a process is a new matter, and the pauses begin again."""

Command = Callable[[str, int], Sequence[str]]
"""(name of the process, port of its metrics) -> its arguments."""


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes] | None = None
    life: int = 0
    port: int = 0
    started: float = 0.0
    pause: float = FIRST_PAUSE
    due: float = 0.0


class Supervisor:
    """Starts N processes, starts those again that end, and stops all when it is told to."""

    def __init__(
        self,
        names: Sequence[str],
        command: Command,
        environment: Mapping[str, str],
        grace: float,
        pause: float = FIRST_PAUSE,
    ) -> None:
        """Args:
        names: Of the processes.
        command: Makes the arguments of each.
        environment: Variables beside those of this process.
        grace: Seconds in which they end when they are told to, before they are killed.
        pause: See `FIRST_PAUSE`.
        """
        self._command = command
        self._environment = {**os.environ, **environment, SUPERVISED: "1"}
        self._grace = grace
        self._pause = pause
        self._children = {name: _Child(pause=pause) for name in names}
        self._ended: SimpleQueue[str | None] = SimpleQueue()
        self.restarts = 0

    def members(self) -> list[Member]:
        """Return the processes that run now."""
        return [
            Member(name, child.life, child.port)
            for name, child in self._children.items()
            if child.process is not None
        ]

    def stop(self) -> None:
        """Have `run` end all processes and return; from any thread."""
        self._ended.put(None)

    def run(self) -> None:
        """Keep the processes running until `stop`."""
        try:
            for name in self._children:
                self._start(name)
            while (ended := self._next()) is not None:
                self._note_end(ended)
        finally:
            self._end()

    def _next(self) -> str | None:
        """Wait for the end of a process, starting those meanwhile whose pause is over."""
        while True:
            due = [child.due for child in self._children.values() if child.process is None]
            timeout = max(min(due) - time.monotonic(), 0.0) if due else None
            with suppress(Empty):
                return self._ended.get(timeout=timeout)
            for name, child in self._children.items():
                if child.process is None and child.due <= time.monotonic():
                    self.restarts += 1
                    self._start(name)

    def _start(self, name: str) -> None:
        child = self._children[name]
        child.port, child.life, child.started = free_port(), child.life + 1, time.monotonic()
        process = subprocess.Popen(
            self._command(name, child.port),
            stdin=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # Ctrl-C on the terminal reaches it through this process only
        )
        child.process = process

        def wait() -> None:
            process.wait()
            self._ended.put(name)

        threading.Thread(target=wait, name=f"wait {name}", daemon=True).start()
        logger.info("%s runs as process %d", name, process.pid)

    def _note_end(self, name: str) -> None:
        child = self._children[name]
        assert child.process is not None, "only what runs can end"
        code = child.process.returncode
        _close(child.process)
        now = time.monotonic()
        if now - child.started > WELL_AFTER:
            child.pause = self._pause
        child.process, child.due = None, now + child.pause
        logger.warning(
            "%s has ended with exit code %d; it is started again in %.1f s", name, code, child.pause
        )
        child.pause = min(2 * child.pause, LONGEST_PAUSE)

    def _end(self) -> None:
        running = [each.process for each in self._children.values() if each.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self._grace
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.0))
                continue
            logger.warning("process %d did not end in time, and is killed", process.pid)
            process.kill()
            process.wait()
        for process in running:
            _close(process)


def stop_with_parent() -> None:
    """In a child of a `Supervisor`: ask for an orderly stop where the parent is gone."""
    if not os.environ.pop(SUPERVISED, None):
        return

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
