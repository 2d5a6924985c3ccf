"""`sluice demo`, as a person runs it: through the command line, with all its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
from confluent_kafka.admin import AdminClient

from router.evaluation.datasets import write_jsonl
from router.evaluation.workload import synthesize
from streams.brokers.kafka import KafkaServer
from tests.support.patience import PATIENCE

QUERIES = 140


def command(*arguments: object) -> Sequence[str]:
    return [sys.executable, "-m", "streams.cli", "demo", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def check(figures: Any, queries: int) -> None:
    """Every query has ended once, no money is held, and no limit is passed."""
    ran = figures["as_it_ran"]
    ends = [ran[end] for end in ("served", "lost", "deferred", "rejected")]
    assert sum(ends) == queries
    assert figures["twice"] == 0
    assert figures["over_limit"] == []
    assert sum(model["spent"] for model in figures["models"]) == ran["cost"]
    for model in figures["models"]:
        assert model["reserved"] == 0
        assert model["spent"] <= model["limit"]
    assert ran["score"] > 0
    assert ran["relative"] == pytest.approx(100 * ran["score"] / reference(figures)["score"])
    assert figures["decision_latency_seconds"]["p50"] > 0


def reference(figures: Any) -> Any:
    (found,) = [row for row in figures["others"] if row["name"] == "offline-lp-estimates"]
    return found


def test_on_the_embedded_broker(tmp_path: Path) -> None:
    """A made-up workload, said to be one; tables of the policies and of the models' money."""
    out, folder = tmp_path / "demo.json", tmp_path / "kept"
    asked = ("--queries", QUERIES, "--rate", 100, "--seed", 3, "--json", out, "--keep", folder)
    ended = run(*asked)
    assert ended.returncode == 0, ended.stderr
    figures = orjson.loads(out.read_bytes())
    assert figures["synthetic"]
    assert "The workload is synthetic" in ended.stdout
    for name in ("primal-dual, as it ran", "primal-dual, offline", "random", "greedy-perf"):
        assert name in ended.stdout
    assert "The same money as one budget for all models" in ended.stdout
    assert {"primal-dual", "static-mix"} <= {one["name"] for one in figures["shared_budget"]}
    check(figures, QUERIES)
    assert len(figures["models"]) == 11
    assert (folder / "router0.log").is_file()


def test_one_budget_for_all_models(tmp_path: Path) -> None:
    """It runs live, and nothing is compared that it was already."""
    out = tmp_path / "demo.json"
    ended = run("--queries", 60, "--rate", 100, "--budget", "shared", "--no-ui", "--json", out)
    assert ended.returncode == 0, ended.stderr
    figures = orjson.loads(out.read_bytes())
    assert [one["model"] for one in figures["models"]] == ["total"]
    assert figures["shared_budget"] == []
    assert "one budget" in ended.stdout
    check(figures, 60)


@pytest.mark.kafka
def test_recorded_outcomes_on_kafka(kafka_broker: KafkaServer, tmp_path: Path) -> None:
    """Two routers on a broker that is not the demo's own; its topics are gone in the end."""
    data, out = tmp_path / "data.jsonl.gz", tmp_path / "demo.json"
    write_jsonl(synthesize(400, seed=1), data)
    before = topics(kafka_broker)
    asked = ("--dataset", data, "--broker", kafka_broker.servers, "--routers", 2, "--rate", 100)
    ended = run(*asked, "--json", out)
    assert ended.returncode == 0, ended.stderr
    figures = orjson.loads(out.read_bytes())
    assert not figures["synthetic"]
    assert "synthetic" not in ended.stdout
    check(figures, QUERIES)
    assert topics(kafka_broker) == before


def test_a_process_that_dies_ends_it(tmp_path: Path) -> None:
    """The demo says which one, shows the end of its log, and leaves no process behind."""
    demo, processes = begin(tmp_path)
    (router,) = [process for process in processes if "route" in process.cmdline()]
    router.kill()
    _, said = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 1
    assert "process router0 ended with exit code -9" in said
    assert "router0.log" in said
    assert "Traceback" not in said
    assert all_ended(processes)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_it_can_be_ended(tmp_path: Path, how: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM end its processes with it."""
    demo, processes = begin(tmp_path)
    demo.send_signal(how)
    _, said = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == code, said
    assert "Traceback" not in said
    assert all_ended(processes)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Said in a sentence, before anything starts."""
    ended = run("--dataset", tmp_path / "nowhere.jsonl")
    assert ended.returncode == 1
    assert "nowhere.jsonl" in ended.stderr
    assert "Traceback" not in ended.stderr


def begin(folder: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A demo that has begun to produce, and its processes."""
    keep = folder / "kept"
    asked = command("--queries", 100, "--rate", 1, "--keep", keep)
    demo = subprocess.Popen(
        asked, stderr=subprocess.PIPE, text=True, env={**os.environ}, preexec_fn=_take_ctrl_c
    )
    assert demo.stderr is not None
    said = []
    for line in demo.stderr:
        said.append(line)
        if line.startswith("producing"):
            break
    processes = psutil.Process(demo.pid).children()
    assert len(processes) == 3, "".join(said)  # a router, a worker, the page
    return demo, processes


def _take_ctrl_c() -> None:
    """Let a demo end by Ctrl-C where a shell has begun the tests in the background, without it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def all_ended(processes: list[psutil.Process]) -> bool:
    """Whether they are gone; they may take a moment to be."""
    gone, _ = psutil.wait_procs(processes, timeout=PATIENCE)
    return len(gone) == len(processes)


def topics(broker: KafkaServer) -> set[str]:
    """Names of all topics, once those that are being deleted are gone."""
    admin, give_up = AdminClient({"bootstrap.servers": broker.servers}), time.monotonic() + PATIENCE
    while True:
        found = set(admin.list_topics(timeout=10.0).topics)
        if not any(name.startswith("demo-") for name in found) or time.monotonic() > give_up:
            return found
        time.sleep(0.1)
