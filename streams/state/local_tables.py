"""The files of a process's tables belong to one life of the topics that they were recovered from.

A changelog that was deleted and restored from a backup may soon be longer than the one that the
files of a process have followed. They would be taken for its beginning, with rows of another past.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import orjson

logger = logging.getLogger(__name__)

LIVES = "topics.json"
"""File with the ids of the topics that the tables beside it were recovered from."""
TABLES = "v*/tables"
"""Where Faust keeps tables in a process's folder."""


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
        for tables in folder.glob(TABLES):
            shutil.rmtree(tables)
    if ids:
        known.write_bytes(written)
