"""A batch run: each request is answered once, also after kills."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from schemas import Query, Source
from streams.brokers import Broker
from streams.serve.batch_files import Outcomes
from streams.serve.batch_lines import Batch
from streams.serve.batch_run import run_batch
from streams.serve.keys import ANYBODY
from tests.streams.serve.test_batch_lines import line
from tests.support.front import deploy
from tests.support.stand_in import Message, StandIn, answered, decided, failed


def lines(count: int) -> list[tuple[int, bytes]]:
    """Requests; each fifth fails, and the last line is none."""
    found = []
    for number in range(1, count):
        words = "fail" if number % 5 == 0 else f"number {number}"
        body = {"model": "auto", "messages": [{"role": "user", "content": words}]}
        found.append((number, line(custom_id=f"c{number}", body=body)))
    return [*found, (count, b"{")]


async def test_interrupted(tmp_path: Path, prefix: str, broker: Broker) -> None:
    """A run that stops, whose files lose their ends, and that goes on: every request has one line,
    and was asked once."""
    config = deploy(tmp_path, prefix, broker)
    batch = Batch("batch_1", ANYBODY, time.time(), 600.0)
    output, errors = tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    asked: set[str] = set()

    def once(query: Query, source: Source) -> Sequence[Message]:
        """As a router does: a repeated id goes nowhere."""
        if query.id in asked:
            return []
        asked.add(query.id)
        if query.text() == "fail":
            return [failed(query, source, 400, "INVALID_REQUEST", "no")]
        return [answered(query, source)]

    with StandIn(broker, config, once) as stand_in:
        for enough in (40, 70, 1000):
            with Outcomes(output, errors) as outcomes:
                await run_batch(
                    config,
                    batch,
                    lines(100),
                    outcomes,
                    in_flight=10,
                    stopped=lambda: len(outcomes.done) >= enough,  # noqa: B023
                )
            if enough < 1000:
                for path in (output, errors):
                    path.write_bytes(path.read_bytes()[:-300])
    told = [msgspec.json.decode(each) for each in output.read_bytes().splitlines()]
    wrong = [msgspec.json.decode(each) for each in errors.read_bytes().splitlines()]
    assert sorted(each["custom_id"] for each in told) == sorted(
        f"c{n}" for n in range(1, 100) if n % 5
    )
    assert len(wrong) == 19 + 1
    for each in told:
        words = each["response"]["body"]["choices"][0]["message"]["content"]
        assert words == f"number {each['custom_id'][1:]}"
    assert len(asked) == 99
    assert len(stand_in.seen) == 99, "what is read back is not asked again"
    assert outcomes.spent == 80 * 700


@pytest.mark.parametrize(
    ("code", "window", "looks"), [("batch_cancelled", 600.0, 30), ("batch_expired", 0.5, 10**9)]
)
async def test_what_waits(
    tmp_path: Path, prefix: str, broker: Broker, code: str, window: float, looks: int
) -> None:
    """What waits for money ends with a cancellation, and what waits at the end of the window with
    that; each request has its line, with OpenAI's code."""
    config = deploy(tmp_path, prefix, broker)
    output, errors = tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    looked = 0

    def wait(query: Query, source: Source) -> Sequence[Message]:
        return [decided(query, source, "deferred", "no_budget")]

    def cancelled() -> bool:
        """Not before every request has been read."""
        nonlocal looked
        looked += 1
        return looked > looks

    with StandIn(broker, config, wait), Outcomes(output, errors) as outcomes:
        batch = Batch("batch_1", ANYBODY, time.time(), window)
        await run_batch(config, batch, lines(20)[:-1], outcomes, cancelled=cancelled)
    assert outcomes.unexecuted == {code: 19}
    told = [msgspec.json.decode(each) for each in errors.read_bytes().splitlines()]
    assert sorted(each["custom_id"] for each in told) == sorted(f"c{n}" for n in range(1, 20))
    assert all(each["response"] is None for each in told)
