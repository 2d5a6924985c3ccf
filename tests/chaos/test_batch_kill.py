"""kill -9 of fronts, routers and workers while a batch runs: every line ends once."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from streams.brokers.kafka import KafkaServer
from tests.support import invariants
from tests.support.serving import Serving

LINES = int(os.environ.get("SLUICE_LINES", "1000"))
"""`make chaos BATCH=20000` takes so many, and ten kills of each kind."""
KILLS = int(os.environ.get("SLUICE_KILLS", "1"))
FRONTS, ROUTERS, WORKERS = ("f0", "f1"), ("r0", "r1"), ("w0", "w1")
RUNS = "this process runs the batches"


def line(number: int) -> bytes:
    """A request that repeats its number; each hundredth asks for a model that is not there."""
    body = {
        "model": "gpt-9" if number % 100 == 0 else "auto",
        "messages": [{"role": "user", "content": f"line {number}"}],
        "max_tokens": 20,
    }
    asked = {"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions"}
    return orjson.dumps({**asked, "body": body})


@pytest.mark.kafka
def test_a_batch_outlives_what_runs_it(can_run_kafka: None, tmp_path: Path, prefix: str) -> None:
    """Each custom_id has one line, in the output or the error file, with its own words; what the
    lines cost is what the ledger has spent, to the nano-unit; and the audit is equal."""
    with (
        KafkaServer(tmp_path / "kafka") as broker,
        Serving(broker, tmp_path, prefix, store="rocksdb") as system,
    ):
        kills = Kills(system)
        kills.start()
        client = system.client("f0")
        data = b"\n".join(map(line, range(1, LINES + 1)))
        file = client.files.create(file=("in.jsonl", data), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        for number in range(3 * KILLS):
            kills.progress((number + 1) * LINES // (3 * KILLS + 2))
            kills.kill(number)
        batch = kills.ended(batch.id)
        told = kills.lines(batch.output_file_id) + kills.lines(batch.error_file_id)
        system.wait("the settlement", lambda: system.spent() == sum(map(cost, told)))
        story = invariants.Story.of(system)
        invariants.one_model(story)
        invariants.within_limits(story)
        invariants.same_messages(story)
        system.sluice("audit")
        print(f"{LINES} lines, kills: {dict(kills.killed)}")
    assert sorted(each["custom_id"] for each in told) == sorted(f"c{n + 1}" for n in range(LINES))
    assert batch.request_counts is not None
    refused = LINES // 100
    assert batch.request_counts.model_dump() == {
        "total": LINES,
        "completed": LINES - refused,
        "failed": refused,
    }
    for each in told:
        status, body = each["response"]["status_code"], each["response"]["body"]
        if status == 200:
            words = body["choices"][0]["message"]["content"]
            assert words == f"line {each['custom_id'][1:]}"
        else:
            assert (status, body["error"]["code"]) == (404, "model_not_found")


class Kills:
    """Kills the front that runs the batch, a router, and a worker, in turn; each comes back."""

    def __init__(self, system: Serving) -> None:
        self.killed: Counter[str] = Counter()
        self._system = system
        self._runs = dict.fromkeys(FRONTS, 0)
        self._runner = ""

    def start(self) -> None:
        """Start everything, and wait until it has its part."""
        for number in range(2):
            self._system.start_router(ROUTERS[number])
            self._system.start_echo(WORKERS[number])
            self._system.start_front(FRONTS[number])
        self._system.wait_fronts(*FRONTS)
        self._system.wait_members(len(ROUTERS))
        self._await_runner()

    def progress(self, count: int) -> None:
        """Wait until so many queries have a result."""
        results = self._system.topics.results
        self._system.wait(f"{count} results", lambda: len(self._system.read(results)) >= count)

    def kill(self, number: int) -> None:
        """The next in turn."""
        if number % 3 == 0:
            name = self._runner
            self._system.kill(name)
            self._system.start_front(name)
            self._await_runner()
        elif number % 3 == 1:
            name = ROUTERS[number // 3 % 2]
            self._system.kill(name)
            self._system.start_router(name)
        else:
            name = WORKERS[number // 3 % 2]
            self._system.kill(name)
            self._system.start_echo(name)
        self.killed[name[0]] += 1

    def ended(self, id: str) -> openai.types.Batch:
        """The batch, when it has ended."""
        self._system.wait_fronts(*FRONTS)
        client = self._system.client("f1")
        found = client.batches.retrieve(id)

        def ended() -> bool:
            nonlocal found
            found = client.batches.retrieve(id)
            return found.status not in ("validating", "in_progress", "finalizing")

        self._system.wait("the end of the batch", ended, 600.0)
        return found

    def lines(self, file: str | None) -> list[dict[str, Any]]:
        """Of an output or error file, as the front that did not make it has them."""
        assert file is not None
        return [
            orjson.loads(each)
            for each in self._system.client("f0").files.content(file).iter_lines()
        ]

    def _await_runner(self) -> None:
        """Wait until one front more has said that it runs the batches."""

        def chosen() -> bool:
            for name, before in self._runs.items():
                now = self._system.children[name].log.read_text(errors="replace").count(RUNS)
                if now > before:
                    self._runs[name], self._runner = now, name
                    return True
            return False

        self._system.wait("a front that runs the batches", chosen)


def cost(line: dict[str, Any]) -> int:
    """Nano-units that a line says were charged."""
    said = line if line["response"] is None else line["response"]["body"]
    charged: int = said["sluice"]["cost"]
    return charged
