"""Progress bars of commands: on stderr, and on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from schemas.fields import NANO


def make(*columns: ProgressColumn) -> Progress:
    """Make a bar of these columns, to be used as a context."""
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())


def progress() -> Progress:
    """A bar to be used as a context; add a task for each log."""
    return make(
        TextColumn("{task.description:28.28}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )


@contextmanager
def spending(
    what: str, total: int, done: int = 0, spent: int = 0
) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with the money spent.

    Args:
        what: Is done.
        total: Steps in all.
        done: Those that an earlier run has done; the time that is left does not count on its pace.
        spent: Nano-units that it has spent.

    Yields:
        What is to be called with the steps that are done, and the nano-units spent.
    """
    bar = make(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("spent {task.fields[spent]}"),
        TimeRemainingColumn(),
    )
    with bar:
        task = bar.add_task(what, total=total, completed=done, spent=_units(spent))

        def show(done: int, spent: int) -> None:
            bar.update(task, completed=done, spent=_units(spent))

        yield show


def _units(nano: int) -> str:
    return f"{nano / NANO:.6f}"
