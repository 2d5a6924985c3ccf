"""What must hold of a supervisor: who ends is started again, and all end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.runtime.supervisor import SUPERVISED, Supervisor, stop_with_parent
from tests.support.patience import PATIENCE

SLEEP = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); signal.pause()"


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.02)


@contextmanager
def supervised(program: str, grace: float = PATIENCE) -> Iterator[Supervisor]:
    """Two processes of a program of Python."""
    supervisor = Supervisor(
        ["r-1", "r-2"], lambda *_: [sys.executable, "-c", program], {}, grace, pause=0.01
    )
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        until(lambda: len(supervisor.members()) == 2)
        yield supervisor
    finally:
        supervisor.stop()
        thread.join()


def processes(supervisor: Supervisor) -> dict[str, int]:
    return {
        name: child.process.pid for name, child in supervisor._children.items() if child.process
    }


def test_a_process_that_is_killed_is_started_again() -> None:
    """Under its name, with a port of its own; the other one goes on."""
    with supervised(SLEEP) as supervisor:
        before, first = processes(supervisor), supervisor.members()
        os.kill(before["r-1"], signal.SIGKILL)
        until(lambda: supervisor.restarts == 1 and len(supervisor.members()) == 2)
        after, second = processes(supervisor), supervisor.members()
        assert after["r-1"] != before["r-1"]
        assert after["r-2"] == before["r-2"]
        assert [member.life for member in second] == [2, 1]
        assert second[1] == first[1]
    assert [alive(process) for process in after.values()] == [False, False]


def test_pauses_grow() -> None:
    """A process that ends at once is not started again and again without end."""
    with supervised("") as supervisor:
        until(lambda: supervisor.restarts >= 4)
        assert all(child.pause >= 0.04 for child in supervisor._children.values())


def test_who_does_not_end_is_killed() -> None:
    """A process that is deaf to the signal ends with the grace."""
    with supervised(DEAF, grace=0.2) as supervisor:
        found = processes(supervisor)
    assert [alive(process) for process in found.values()] == [False, False]


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    """Where the supervisor is killed, each child is told to stop."""
    told = tmp_path / "told"
    child = (
        "import signal, pathlib\n"
        "from streams.runtime.supervisor import stop_with_parent\n"
        f"signal.signal(signal.SIGTERM, lambda *_: exit(pathlib.Path({str(told)!r}).touch()))\n"
        "stop_with_parent(); print('up', flush=True); signal.pause()"
    )
    parent = (
        "import sys\n"
        "from streams.runtime.supervisor import Supervisor\n"
        f"Supervisor(['r-1'], lambda *_: [sys.executable, '-c', {child!r}], {{}}, 5.0).run()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"up\n"
        process.kill()
        process.wait()
        until(told.exists)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_nobody_else_listens_to_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a supervisor the end of standard input means nothing."""
    monkeypatch.delenv(SUPERVISED, raising=False)
    before = threading.active_count()
    stop_with_parent()
    assert threading.active_count() == before
