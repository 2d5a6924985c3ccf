"""Programs that tests run where they are there: `make tools` brings them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def find(name: str) -> Path:
    """Where a program is, first that of `make tools`; skips the test where there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice" / "bin"
    found = shutil.which(name, path=os.pathsep.join((str(cache), os.environ["PATH"])))
    if found is None:
        pytest.skip(f"{name} is not here: make tools")
    return Path(found)


def run(program: Path, *arguments: str | Path, text: str = "") -> str:
    """What a program prints; its errors are the test's failure."""
    ended = subprocess.run(
        [program, *arguments], input=text, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
