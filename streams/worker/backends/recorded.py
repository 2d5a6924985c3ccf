"""A backend that answers with recorded outcomes: for the demo, tests and benchmarks.

It reads the file with msgspec alone, so that a worker process starts without numpy.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec

from schemas.fields import NANO
from schemas.result import Result
from schemas.route import Routed
from streams.worker.backends.base import INVALID_REQUEST, Backend, failed, succeeded


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers take: log-normal, in seconds, drawn from the seed and the query's id."""

    median: float
    sigma: float = 0.5
    seed: int = 0

    def of(self, query: str) -> float:
        """The time for one query; the same on every call."""
        return Random(f"{self.seed}:{query}").lognormvariate(math.log(self.median), self.sigma)  # noqa: S311


class Recorded(Backend):
    """Answers a query with its recorded score and cost.

    A recorded answer that costs more than its reservation is cut as a real one would be: it is
    charged the reservation, and scored 0. A query without a record gets a 404 that costs nothing.
    """

    def __init__(
        self, outcomes: Mapping[str, tuple[float, int]], latency: Latency | None = None
    ) -> None:
        """Answer from outcomes in memory.

        Args:
            outcomes: by query id, the score (0..1) and the cost (nano-units).
            latency: how long answers take; None for no time.
        """
        self._outcomes = outcomes
        self._latency = latency

    @classmethod
    def read(
        cls, path: str | Path, models: Sequence[str], latency: Latency | None = None
    ) -> dict[str, Recorded]:
        """Make a backend for each model from a dataset's file (see `datasets.read_jsonl`).

        Raises:
            ValueError: the file cannot be read, or has no outcome of one of the models.
        """
        outcomes: dict[str, dict[str, tuple[float, int]]] = {model: {} for model in models}
        try:
            data = Path(path).read_bytes()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: cannot be read ({error})") from error
        for number, line in enumerate(data.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = _decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            for model in models:
                score, cost = row.scores.get(model), row.cost_usd.get(model)
                if score is not None and cost is not None:
                    outcomes[model][row.id] = score, round(cost * NANO)
        for model in models:
            if not outcomes[model]:
                raise ValueError(f"{path}: no recorded outcome of a model named {model!r}")
        return {model: cls(outcomes[model], latency) for model in models}

    async def answer(self, routed: Routed) -> Result:
        """Look the query up."""
        outcome = self._outcomes.get(routed.id)
        if outcome is None:
            return failed(routed, 404, INVALID_REQUEST, f"no recorded answer to query {routed.id}")
        duration = None
        if self._latency is not None:
            duration = self._latency.of(routed.id)
            await asyncio.sleep(duration)
        score, cost = outcome
        if cost > routed.reserved:
            score, cost = 0.0, routed.reserved
        return succeeded(routed, cost=cost, score=score, duration=duration)


class _Row(msgspec.Struct):
    id: str
    scores: dict[str, float | None]
    cost_usd: dict[str, float | None]


_decode = msgspec.json.Decoder(_Row).decode
