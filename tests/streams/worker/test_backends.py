"""What every backend promises, and what recorded outcomes add."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import Result
from schemas.wire import decode, encode
from streams.worker.backends.base import (
    INVALID_REQUEST,
    Backend,
)
from streams.worker.backends.echo import Echo
from streams.worker.backends.openai import OpenAI
from streams.worker.backends.recorded import Latency, Recorded
from tests.support.asking import RESERVED, ask, code, routed
from tests.support.completion_server import Server, status


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


class TestEveryBackend:
    """The contract of `Backend`, with queries "a" to "e" that have answers, and "none"."""

    @pytest.fixture(params=["recorded", "echo", "openai"])
    def make(self, request: pytest.FixtureRequest, server: Server) -> Callable[[], Backend]:
        if request.param == "recorded":
            outcomes = dict.fromkeys("abcde", (1.0, 10))
            return lambda: Recorded(outcomes, Latency(0.001))
        if request.param == "echo":
            return Echo
        return lambda: OpenAI("gpt", server.url)

    async def test_many_calls_at_a_time(self, make: Callable[[], Backend]) -> None:
        """Each answer is its own query's, and is one the wire takes."""
        backend = make()
        results = await asyncio.gather(*(backend.answer(routed(id)) for id in "abcde"))
        await backend.close()
        for id, result in zip("abcde", results, strict=True):
            named = (result.id, result.decision_id, result.model, result.status_code)
            assert named == (id, f"decision {id}", "m", 200)
            assert decode(Result, encode(result)) == result
            assert result.error is None
            assert result.attempts == 1

    @pytest.mark.parametrize("make", ["recorded", "openai"], indirect=True)
    async def test_a_refused_query_is_a_result(
        self, make: Callable[[], Backend], server: Server
    ) -> None:
        """It has a code and a reason, and costs nothing."""
        server.replies.append(status(404))
        result = await ask(make(), routed("none"))
        assert (result.status_code, code(result), result.cost) == (404, INVALID_REQUEST, 0)

    @pytest.mark.parametrize("make", ["recorded", "openai"], indirect=True)
    async def test_a_call_can_be_cancelled(
        self, make: Callable[[], Backend], server: Server
    ) -> None:
        """And the backend closes after it."""
        server.replies.append(None)
        backend = make()
        call = asyncio.create_task(backend.answer(routed()))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await backend.close()


class TestRecorded:
    def write(self, path: Path, *rows: dict[str, Any]) -> Path:
        text = "\n".join(json.dumps(row) for row in rows).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        return path

    @pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz"])
    async def test_outcomes_of_a_file(self, tmp_path: Path, name: str) -> None:
        """Each model answers with its own score and cost; what is not recorded has none."""
        first = {"id": "a", "scores": {"m": 1, "n": 0.5}, "cost_usd": {"m": 1e-9, "n": 2.4e-9}}
        second = {"id": "b", "scores": {"m": None, "n": 0}, "cost_usd": {"m": None, "n": 1e-7}}
        read = Recorded.read(self.write(tmp_path / name, first, second), ["m", "n"])
        m, n = await ask(read["m"]), await ask(read["n"])
        assert [(m.score, m.cost), (n.score, n.cost)] == [(1.0, 1), (0.5, 2)]
        assert (await ask(read["m"], routed("b"))).status_code == 404
        assert (await ask(read["n"], routed("b"))).cost == 100

    async def test_an_answer_dearer_than_its_reservation_is_cut(self) -> None:
        """It is charged the reservation and is worth nothing; one as dear as it is whole."""
        backend = Recorded({"a": (0.9, RESERVED + 1), "b": (0.9, RESERVED)})
        cut, whole = await ask(backend), await ask(backend, routed("b"))
        assert (cut.score, cut.cost) == (0.0, RESERVED)
        assert (whole.score, whole.cost) == (0.9, RESERVED)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "cannot be read"),
            (b"\x1f\x8bgarbage", "cannot be read"),
            (b'{"id": "a"}', "line 1"),
            (b'{"id": "a", "scores": {"x": 1}, "cost_usd": {"x": 1}}', "named 'm'"),
        ],
    )
    def test_a_file_of_no_use(self, tmp_path: Path, content: bytes | None, words: str) -> None:
        """The error names the file and what is wrong with it."""
        path = tmp_path / "d.jsonl"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match=words) as caught:
            Recorded.read(path, ["m"])
        assert str(path) in str(caught.value)

    def test_times_are_drawn_from_seed_and_id(self) -> None:
        """The same ones give the same time; half of many are below the median."""
        latency = Latency(2.0, 0.7, seed=3)
        assert latency.of("a") == Latency(2.0, 0.7, seed=3).of("a")
        assert latency.of("a") != Latency(2.0, 0.7, seed=4).of("a")
        times = sorted(latency.of(str(number)) for number in range(2001))
        assert times[1000] == pytest.approx(2.0, rel=0.1)
        assert Latency(2.0, 0.0).of("a") == pytest.approx(2.0)

    async def test_the_result_says_how_long_it_took(self) -> None:
        """The time drawn is the result's duration."""
        latency = Latency(0.002)
        result = await ask(Recorded({"a": (1.0, 1)}, latency))
        assert result.duration == latency.of("a")
