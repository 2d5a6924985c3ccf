"""Where Sluice keeps files that it can always make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return SLUICE_CACHE, else `sluice` in the user's cache folder."""
    given = os.environ.get("SLUICE_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice"
