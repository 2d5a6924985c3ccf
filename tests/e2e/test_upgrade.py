"""A rolling upgrade: routers and workers of 0.1.0 and of this version work side by side.

Runs where SLUICE_UPGRADE is set. The code of 0.1.0 comes from this repository's history; where a
checkout has none, the test is skipped. What 0.1.0 wrote is read everywhere by
tests/streams/test_recorded_topics.py.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import orjson
import pytest

from streams.brokers.kafka import KafkaServer
from tests.support import invariants
from tests.support.child import SLUICE
from tests.support.system import System

OLD = "147ae0c294cbcceda0611b6b3d63af6243e978ce"
"""The commit of 0.1.0."""
ENTRY_POINTS = """
[faust.transports]
sluice = streams.chunks:Transport
[faust.stores]
sluice-memory = streams.store:MemoryStore
sluice-rocksdb = streams.store:RocksStore
"""
ALONE = """
import importlib.metadata as metadata, sys
every = metadata.distributions
def others(**context):
    return (each for each in every(**context) if each.metadata["Name"] != "sluice-llm")
metadata.distributions = others
sys.meta_path[:] = [each for each in sys.meta_path if "__editable__" not in repr(each)]
"""
"""Run at the start of each old process: it must see neither sub-packages nor entry points of the
installed checkout."""
BATCH = 60
"""Queries sent at each stage."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of 0.1.0, as an installation has them."""
    if not os.environ.get("SLUICE_UPGRADE"):
        pytest.skip("two versions side by side: set SLUICE_UPGRADE=1")
    command = ["git", "archive", OLD, "streams", "router", "schemas"]
    try:
        done = subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2])
    except FileNotFoundError:
        pytest.skip("git is not there")
    if done.returncode:
        pytest.skip("the history of this checkout does not reach back to 0.1.0")
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    (folder / "sitecustomize.py").write_text(ALONE)
    about = folder / "sluice-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sluice\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


class Mixed(System):
    """A system whose processes can be of 0.1.0."""

    def begin(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """old: the folder of that version's packages."""
        self._old, self._monkeypatch = old, monkeypatch

    def start_old_router(self, name: str) -> None:
        with self._monkeypatch.context() as patched:
            patched.setenv("PYTHONPATH", str(self._old))
            self.start_router(name)

    def start_old_worker(self, name: str) -> None:
        with self._monkeypatch.context() as patched:
            patched.setenv("PYTHONPATH", str(self._old))
            self.start_worker(name)

    def build_old_index(self) -> None:
        """By 0.1.0: it could not know the one of a later version."""
        shutil.rmtree(self.folder / "index")
        history = ("--history", str(self.folder / "history.jsonl.gz"))
        command = [SLUICE, "index", "build", *history, "--config", str(self.config)]
        subprocess.run(command, check=True, cwd=self.folder, env={"PYTHONPATH": str(self._old)})


@pytest.mark.kafka
def test_versions_side_by_side(
    kafka_broker: KafkaServer,
    old: Path,
    tmp_path: Path,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process after the other is replaced, under load, one of them by kill -9: what 0.1.0 has
    not decided is decided, money is right at every record, and the audit is equal."""
    settings = {"router": {"session_timeout": 12}}
    with Mixed(
        kafka_broker, tmp_path, prefix, size=4 * BATCH, store="rocksdb", settings=settings
    ) as system:
        system.begin(old, monkeypatch)
        system.build_old_index()
        for name in ("r0", "r1"):
            system.start_old_router(name)
        system.start_old_worker("w0")
        system.wait_members(2)
        system.produce(0, BATCH)
        system.wait_decided()

        system.produce_meanwhile(BATCH, 2 * BATCH, rate=20)
        assert system.stop("r0") == 0
        system.start_router("r0")
        system.wait_members(2)
        system.wait_decided()

        system.produce_meanwhile(2 * BATCH, 3 * BATCH, rate=20)
        system.start_worker("w1")
        assert system.stop("w0") == 0
        system.kill("r1")
        system.start_router("r1")
        system.wait_members(2)
        system.produce(3 * BATCH)
        system.wait_settled()
        invariants.hold(system)
        audit = tmp_path / "audit.json"
        system.sluice("audit", "--json", str(audit))
        assert orjson.loads(audit.read_bytes())["equal"]
