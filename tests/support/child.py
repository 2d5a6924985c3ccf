"""A process of a whole Sluice under test: a real one, with a log, that can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.patience import PATIENCE

SLUICE = str(Path(sys.executable).with_name("sluice"))
TAIL = 40
"""Lines of a process's log that a failure shows."""


@dataclass
class Child:
    """A process. stopping: it is meant to end."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    arguments: Sequence[str]
    stopping: bool = False

    @classmethod
    def start(cls, name: str, arguments: Sequence[str], folder: Path, servers: str) -> Self:
        """Run `sluice ARGUMENTS` in a folder, against the broker at `servers`. Its log there is
        NAME.log; one of the same name before it is continued."""
        log = folder / f"{name}.log"
        own = {"SLUICE_BROKER": servers, "OPENBLAS_NUM_THREADS": "1"}
        with log.open("ab") as out:
            process = subprocess.Popen(
                [SLUICE, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **own},
                cwd=folder,
            )
        return cls(name, process, log, arguments)

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([f"--- {self.log}", *lines[-TAIL:]])

    def pause(self) -> None:
        """Stop it (SIGSTOP) until `resume`; it may find that others have its work by then, and end
        by itself."""
        self.stopping = True
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self.stopping = False
        self.process.send_signal(signal.SIGCONT)

    def last_words(self) -> str:
        """The last line of its log that says why it ended, or "" where none does."""
        lines = self.log.read_text(errors="replace").splitlines()
        said = ("sluice: stopped", "Error: ")
        return next((line for line in reversed(lines) if line.startswith(said)), "")

    def kill(self) -> None:
        """Send SIGKILL, and do not wait."""
        self.stopping = True
        with suppress(ProcessLookupError):
            self.process.kill()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait. Returns the exit code; -9 where it had to be killed."""
        self.stopping = True
        with suppress(ProcessLookupError):
            self.process.send_signal(how)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
