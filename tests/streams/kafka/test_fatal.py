"""A process that cannot go on says why, and ends at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from streams.kafka.fatal import EXIT_CODE, or_die


def ended(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


def test_the_last_line_says_why() -> None:
    """Exit code 70 and the reason, and no clean-up that could write once more."""
    script = (
        "import atexit\nfrom streams.kafka.fatal import die\n"
        "atexit.register(print, 'cleaned up')\ndie('no disk')\n"
    )
    found = ended(script)
    assert found.returncode == EXIT_CODE == 70
    assert (found.stdout, found.stderr) == ("", "sluice: stopped: no disk\n")


def test_what_fails_names_what_was_done() -> None:
    """Whatever the error is, the process does not go on without the work."""
    script = (
        "import asyncio\nfrom streams.kafka.fatal import or_die\n"
        "async def work():\n    raise ValueError('no such thing')\n"
        "asyncio.run(or_die('the ledger', work()))\nprint('went on')\n"
    )
    found = ended(script)
    assert found.returncode == EXIT_CODE
    assert found.stdout == ""
    assert found.stderr == "sluice: stopped: the ledger failed: ValueError: no such thing\n"


async def test_a_cancellation_is_no_failure() -> None:
    """A task that is cancelled ends as tasks do."""
    task = asyncio.create_task(or_die("the work", asyncio.sleep(3600)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
