"""A run of a command that may be interrupted: its name, and files that are whole or not there."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from schemas.invalid import Invalid

RUN = "sluice.run"
"""Key in the metadata of queries that a run of Sluice's own sends, and that are no traffic."""


class Run(msgspec.Struct, frozen=True):
    """One run, however often it is begun again.

    Attributes:
        id: Begins the ids of its queries.
        secret: Of the marks that a judge sees.
        created: Unix seconds, before its first query.
    """

    id: str
    secret: str
    created: float


def run_at(path: Path, purpose: str) -> Run:
    """Return the run that a file names; a new one, written there first, where there is none."""
    if path.exists():
        try:
            return msgspec.json.decode(path.read_bytes(), type=Run)
        except msgspec.DecodeError as error:
            raise Invalid("invalid_json", f"{path}: it names no run: {error}") from None
    run = Run(f"{purpose}-{uuid.uuid4().hex[:12]}", uuid.uuid4().hex, time.time())
    with replacing(path) as draft:
        draft.write_bytes(msgspec.json.encode(run))
    return run


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a draft that takes the file's place when the context ends well."""
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def cut_after_whole_lines(file: IO[bytes], take: Callable[[bytes], bool]) -> None:
    """Hand over the lines that a run before has written, and cut off what its end has spoiled.

    Args:
        file: Open for reading and appending.
        take: Called with each line that was written to its end. Returns False for one that is not
            to stay, nor what follows it.

    Raises:
        Invalid: A whole line is none of such a run: cut off, it would be paid for again.
    """
    file.seek(0)
    whole = 0
    for number, line in enumerate(file, 1):
        try:
            if not line.endswith(b"\n") or not take(line):
                break
        except msgspec.DecodeError as error:
            where = f"{file.name}, line {number}"
            raise Invalid("invalid_json", f"{where}: no line of a run: {error}") from None
        whole += len(line)
    file.truncate(whole)
