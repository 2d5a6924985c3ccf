"""The tables of a process, and their files.

Files belong to one life of the topics that they were recovered from. A changelog that was deleted
and restored from a backup may soon be longer than the one that the files of a process have
followed. They would be taken for its beginning, with rows of another past.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from streams.config.connection import StoreKind
from streams.state.store import MemoryStore, PartitionStore, RocksStore

logger = logging.getLogger(__name__)

LIVES = "topics.json"
"""File with the ids of the topics that the tables beside it were recovered from."""
TABLES = Path("v1", "tables")
"""Where tables are in a process's folder: where Faust kept those of 0.1.0."""


class Tables(NamedTuple):
    """What a process keeps of the changelogs.

    Attributes:
        partitions: States and rows of the partitions of `queries`.
        controller: The controller's accounts, in partition 0.
    """

    partitions: PartitionStore
    controller: PartitionStore

    def close(self) -> None:
        """Let go of all files."""
        self.partitions.close()
        self.controller.close()


def tables_of(kind: StoreKind, folder: Path) -> Tables:
    """Make the tables of a process; files are opened when they are first asked for.

    Args:
        kind: Where rows are kept.
        folder: Of the process, and of no other.
    """
    if kind == "memory":
        return Tables(MemoryStore(), MemoryStore())
    files = folder / TABLES
    return Tables(RocksStore(files, "partitions"), RocksStore(files, "controller"))


def forget_other_lives(folder: Path, ids: Mapping[str, str]) -> None:
    """Remove a process's tables where they are of topics that have been deleted since.

    What they held is recovered from the changelogs. Tables of older versions, which did not say
    where they came from, are taken for those of now.

    Args:
        folder: of the process, and of no other.
        ids: of the changelogs, by topic name; empty where the broker has none.
    """
    known = folder / LIVES
    written = orjson.dumps(dict(ids), option=orjson.OPT_SORT_KEYS)
    before = known.read_bytes() if known.exists() else written
    if before != written:
        logger.warning(
            "%s: the changelogs have been deleted and made again; the files of tables are removed, "
            "and recovered from the changelogs",
            folder,
        )
        shutil.rmtree(folder / TABLES, ignore_errors=True)
    if ids:
        known.write_bytes(written)
