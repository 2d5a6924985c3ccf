"""What the jobs of `benchmarks.paper` found, one file a job."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import orjson

from benchmarks.paper_found import Found, Part
from benchmarks.paper_jobs import Job
from router.evaluation.experiment import Row, Setting


def commit() -> str:
    """Return the commit of the code and its date; "unknown" outside a repository."""
    ask = ["git", "log", "-1", "--format=%h (%cs)"]
    told = subprocess.run(ask, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def has(folder: Path, job: Job) -> bool:
    """Return whether a job has been done."""
    return _path(folder, job).exists()


def write(folder: Path, job: Job, commit: str, found: Sequence[Found]) -> None:
    """Keep what a job found, whole or not at all."""
    path = _path(folder, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps({"commit": commit, "found": found}))
    part.replace(path)


def read(folder: Path, job: Job) -> Part | None:
    """Return what a job found; None where it has not been done."""
    path = _path(folder, job)
    if not path.exists():
        return None
    kept = orjson.loads(path.read_bytes())
    found = [
        Found(**one | {"row": Row(**one["row"] | {"setting": Setting(**one["row"]["setting"])})})
        for one in kept["found"]
    ]
    return Part(job.dataset, job.experiment, kept["commit"], found)


def _path(folder: Path, job: Job) -> Path:
    return folder / job.dataset / f"{job.experiment}-{job.seed}.json"
