"""Child processes of the demo: `sluice` commands that are started, monitored and stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

TAIL = 30
"""Lines of a log that an error message shows."""
GRACE = 20.0
"""Seconds in which a process ends after SIGTERM, before it is killed."""
POLL = 0.05


class ChildDied(RuntimeError):
    """A process ended early; the message has the end of its log."""


class Children:
    """Child processes that are stopped when the context exits."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Prepare; nothing is started yet.

        Args:
            folder: working directory of the processes; each writes NAME.log there.
            environment: variables to set beside those of this process.
        """
        self._folder = folder
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, *arguments: str) -> None:
        """Start `sluice ARGUMENTS`. Ctrl-C on the terminal reaches it through this process only."""
        with self._log(name).open("ab") as out:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )

    def run(self, name: str, *arguments: str) -> None:
        """Start `sluice ARGUMENTS` and wait until it ends.

        Raises:
            ChildDied: its exit code is not 0.
        """
        self.start(name, *arguments)
        if code := self._running[name].wait():
            raise self._died(name, code)
        del self._running[name]

    def check(self) -> None:
        """Check that all processes are running.

        Raises:
            ChildDied: one has ended.
        """
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                raise self._died(name, code)

    def stop(self) -> None:
        """Send SIGTERM to all, and kill those that do not end within `GRACE` seconds."""
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), POLL))
                continue
            process.kill()
            process.wait()
        self._running.clear()

    def tails(self) -> str:
        """Return the last lines of every log."""
        return "\n".join(self._tail(name) for name in self._running)

    def _died(self, name: str, code: int) -> ChildDied:
        return ChildDied(f"process {name} ended with exit code {code}\n{self._tail(name)}")

    def _tail(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()
        return "\n".join([f"--- the end of {self._log(name)}", *lines[-TAIL:]])

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"
