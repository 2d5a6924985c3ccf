"""Runs `sluice` commands: in this process, or in the background."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from click.testing import CliRunner

from streams.cli import main

SLUICE = [sys.executable, "-c", "from streams.cli import main; main()"]


def run(*arguments: object, broker: str | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    environment = {} if broker is None else {"SLUICE_BROKER": broker}
    result = CliRunner().invoke(main, [str(a) for a in arguments], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@contextmanager
def started(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command in the background, and its first line of output."""
    with subprocess.Popen(
        [*SLUICE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()
