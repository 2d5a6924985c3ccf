"""Apache Kafka's own jars from Maven Central, downloaded once per user.

`pom.xml` lies beside this file (and in the wheel), so that an installed `sluice` can start a real
Kafka without the source tree; the jars lie in the user's cache, shared by tests, demo and benches.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from streams.kafka.errors import BrokerError

VERSION = "4.1.0"
POM = Path(__file__).with_name("pom.xml")
LEAST_JAVA = 17
TIMEOUT = 600.0
"""Seconds that the download (46 jars, 43 MB) may take."""


def folder() -> Path:
    """Where the jars of this version are, or will be."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "sluice" / f"kafka-{VERSION}"


def missing() -> str:
    """What this machine lacks to run a real Kafka, as a clause; empty if nothing."""
    lacks = []
    version = java_version()
    if version is None:
        lacks.append(f"no Java on PATH (version {LEAST_JAVA} or later is needed)")
    elif version < LEAST_JAVA:
        lacks.append(f"Java {version} is too old (version {LEAST_JAVA} or later is needed)")
    if not folder().is_dir() and shutil.which("mvn") is None:
        lacks.append(f"no Maven (mvn) on PATH to fetch Kafka {VERSION}'s jars")
    return " and ".join(lacks)


def available() -> bool:
    """Whether a real Kafka can be started here; `missing` says why not."""
    return not missing()


def java_version() -> int | None:
    """The major version of the `java` on PATH; None where there is none that works."""
    try:
        answer = subprocess.run(
            ["java", "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(found[1]) if found else None


def fetch() -> Path:
    """Return the folder of jars; download them if they are missing.

    Raises:
        BrokerError: Java or Maven is missing, or the download fails.
    """
    target = folder()
    if lacks := missing():
        raise BrokerError(f"cannot run Apache Kafka here: {lacks}")
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Maven fills a temporary folder, renamed at the end: a broken download never looks complete.
    with tempfile.TemporaryDirectory(dir=target.parent) as fresh:
        jars = Path(fresh, "jars")
        _maven("dependency:copy-dependencies", f"-DoutputDirectory={jars}")
        try:
            jars.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was faster, with the same jars
                raise
    return target


def _maven(goal: str, *settings: str) -> None:
    command = ["mvn", "-q", "-B", "-f", str(POM), goal, "-DincludeScope=runtime", *settings]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise BrokerError(
            f"Maven did not fetch Kafka {VERSION}'s jars within {TIMEOUT:.0f} s; "
            "check the network and run the same command again"
        ) from None
    if run.returncode:
        tail = "\n".join((run.stdout + run.stderr).strip().splitlines()[-10:])
        raise BrokerError(
            f"Maven could not fetch Kafka {VERSION}'s jars (exit code {run.returncode}):\n{tail}"
        )
