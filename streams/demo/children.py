"""Processes of `sluice` that this one starts, watches and ends."""

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
"""Lines of a log that an error shows."""
GRACE = 20.0
"""Seconds in which a process ends after SIGTERM, before it is killed."""
POLL = 0.05


class ChildDied(RuntimeError):
    """A process that ended when it should not have, with the end of its log."""


class Children:
    """Processes that all end with this context, whatever ends it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """folder: where they run and where their logs are, NAME.log each."""
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
        """Start `sluice ARGUMENTS` and wait for its end. Raises ChildDied where it fails."""
        self.start(name, *arguments)
        if code := self._running[name].wait():
            raise self._died(name, code)
        del self._running[name]

    def check(self) -> None:
        """Raise ChildDied where one has ended."""
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                raise self._died(name, code)

    def stop(self) -> None:
        """End all of them in order (SIGTERM), and by force where that takes too long."""
        for process in self._running.values():
            process.terminate()
        give_up = time.monotonic() + GRACE
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(give_up - time.monotonic(), POLL))
                continue
            process.kill()
            process.wait()
        self._running.clear()

    def tails(self) -> str:
        """The ends of all logs."""
        return "\n".join(self._tail(name) for name in self._running)

    def _died(self, name: str, code: int) -> ChildDied:
        return ChildDied(f"process {name} ended with exit code {code}\n{self._tail(name)}")

    def _tail(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()
        return "\n".join([f"--- the end of {self._log(name)}", *lines[-TAIL:]])

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"
