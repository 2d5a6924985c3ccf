"""Runs a benchmark on an older commit and on the files here, and prints the ratios.

    python -m benchmarks.compare REF MODULE [ARGUMENTS...]      (make bench-compare REF=v0.1.0)

The benchmark itself is the one of these files; only what it measures is the older commit's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import read

HERE = Path(__file__).parents[1]


def main() -> None:
    """Check the older commit out, measure both in turn, and print."""
    ref, module, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="sluice-compare-") as folder:
        older = Path(folder) / "older"
        _git("worktree", "add", "--detach", "--quiet", str(older), ref)
        try:
            shutil.rmtree(older / "benchmarks", ignore_errors=True)
            shutil.copytree(HERE / "benchmarks", older / "benchmarks")
            before = _measure(older, module, arguments, Path(folder) / "before.json")
            after = _measure(HERE, module, arguments, Path(folder) / "after.json")
        finally:
            _git("worktree", "remove", "--force", str(older))
    print(f"{'':<44} {ref:>12} {'here':>12} {'ratio':>8}")
    for name, value in after.items():
        if name in before:
            ratio = f"{value / before[name]:8.2f}" if before[name] else ""
            print(f"{name:<44} {before[name]:12,.2f} {value:12,.2f} {ratio}")


def _measure(tree: Path, module: str, arguments: Sequence[str], result: Path) -> dict[str, float]:
    print(f"== {tree}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{module}", "--json", str(result), *arguments]
    subprocess.run(command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, check=True)
    return read(result)


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=HERE, check=True)


if __name__ == "__main__":
    main()
