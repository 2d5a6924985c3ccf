"""What several commands have in common: the option --config, files, waiting for their end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

config = click.option(
    "--config",
    "-c",
    "config_file",
    type=FILE,
    envvar="SLUICE_CONFIG",
    default=Path("sluice.toml"),
    help="The configuration file.",
)


def writable(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse at once what could not be written in the end."""
    if path is not None and not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"folder {path.parent} is not there or not writable")
    return path


@contextmanager
def ending() -> Iterator[threading.Event]:
    """Give an event that is set by Ctrl-C or SIGTERM, instead of their usual effect."""
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
