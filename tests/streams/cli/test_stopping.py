"""A process that is told to stop ends in time, whatever its main thread does."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streams.kafka.fatal import EXIT_CODE
from tests.support.patience import PATIENCE

DEAF = """
import ctypes
from streams.cli.stopping import Stopper
stopper = Stopper({seconds})
stopper.listen()
{more}
print("up", flush=True)
while True:
    ctypes.CDLL(None).sleep(600)  # no Python code runs in the main thread meanwhile
"""
STOP = "stopper.stop_with(lambda: print('stopping', flush=True))"


@contextmanager
def process(seconds: float, more: str = STOP) -> Iterator[subprocess.Popen[str]]:
    """A process that does not react to anything by itself."""
    script = DEAF.format(seconds=seconds, more=more)
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "up\n"
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_begins_the_end_and_the_second_is_it(number: signal.Signals) -> None:
    """Also where the first is not followed by anything."""
    with process(seconds=600) as child:
        child.send_signal(number)
        assert child.stdout is not None
        assert child.stdout.readline() == "stopping\n"
        child.send_signal(number)
        assert child.wait(PATIENCE) == 128 + number


def test_it_ends_by_force_in_time() -> None:
    """And says that it did, and that nothing is lost."""
    with process(seconds=1) as child:
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == EXIT_CODE
        assert child.stderr is not None
        said = child.stderr.read()
        assert "took longer than 1 s (process.stop_seconds)" in said
        assert "comes again" in said


def test_before_anything_has_begun_a_signal_ends_it_at_once() -> None:
    """There is nothing to stop in order."""
    with process(seconds=600, more="") as child:
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 128 + signal.SIGTERM


def test_an_end_of_its_own_is_limited_too() -> None:
    """A process that fails, and then hangs in its clean-up."""
    with process(seconds=1, more="stopper.begin(); stopper.begin()") as child:
        assert child.wait(PATIENCE) == EXIT_CODE


def test_a_stop_that_fails_is_no_end() -> None:
    """The loop may be closed by then: the time runs on."""
    failing = "def fail(): raise RuntimeError('closed')\nstopper.stop_with(fail)"
    with process(seconds=1, more=failing) as child:
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == EXIT_CODE


def test_what_has_ended_is_not_ended_again() -> None:
    """Once it is closed, the clock stands still, and signals have their usual effect."""
    closed = "stopper.begin(); stopper.close(); import time; time.sleep(1.5)"
    with process(seconds=1, more=closed) as child:
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == -signal.SIGTERM
