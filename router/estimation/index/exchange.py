"""Replaces a folder by another one at once, where the system can."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_HERE = -100
"""AT_FDCWD: paths are relative to the working directory."""
_SWAP = 2
"""RENAME_EXCHANGE of Linux, and RENAME_SWAP of macOS."""


def exchanged(draft: Path, folder: Path) -> Path:
    """Put a draft in the place of a folder that is there.

    Linux and macOS exchange two names at once, and a kill at any moment leaves one of the two in
    place. A file system that cannot has a moment between two renames in which neither is.

    Returns:
        Where the folder is now that was there.

    Raises:
        OSError: The draft cannot be put there; the folder stays.
    """
    if _swap(draft, folder):
        return draft
    aside = draft.with_name(f"{draft.name}-old")
    folder.rename(aside)
    try:
        draft.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    return aside


def _swap(one: Path, other: Path) -> bool:
    """Exchange two names. Returns False where this system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            return int(library.renamex_np(*names, _SWAP)) == 0
        return int(library.renameat2(_HERE, names[0], _HERE, names[1], _SWAP)) == 0
    except AttributeError:  # an old C library
        return False
