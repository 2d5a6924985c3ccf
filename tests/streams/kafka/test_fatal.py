"""The end of a process for a reason that is not a message's fault."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from textwrap import dedent

import pytest

from streams.kafka.fatal import EXIT_CODE, or_die


def run(script: str) -> tuple[int, str, str]:
    """Exit code, standard output and last line of standard error of a process."""
    ended = subprocess.run(
        [sys.executable, "-c", dedent(script)], capture_output=True, text=True, timeout=60
    )
    return ended.returncode, ended.stdout, ended.stderr.splitlines()[-1]


def test_die_ends_at_once() -> None:
    """The last line says why; no clean-up runs, for whoever takes over does it again."""
    code, out, last = run(
        """
        from streams.kafka.fatal import die
        try:
            die("no disk left")
        finally:
            print("cleaned up")
        """
    )
    assert (code, out, last) == (EXIT_CODE, "", "sluice: stopped: no disk left")


def test_or_die_names_what_failed() -> None:
    """An exception of any kind ends the process, and the line says of what and which."""
    code, _, last = run(
        """
        import asyncio
        from streams.kafka.fatal import or_die

        async def fail():
            raise KeyError("row")

        asyncio.run(or_die("settling", fail()))
        """
    )
    assert (code, last) == (EXIT_CODE, "sluice: stopped: settling failed: KeyError: 'row'")


async def test_a_cancelled_task_is_no_failure() -> None:
    """Tasks are cancelled when a process stops in order."""
    task = asyncio.create_task(or_die("waiting", asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_succeeds_goes_on() -> None:
    """Nothing happens where nothing fails."""
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    await or_die("working", work())
    assert done == [1]
