"""A first history: every model is asked a sample of prompts, and its answers are scored."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from schemas.fields import NANO
from schemas.query import Query
from streams.client.answers import Answer
from streams.client.asynchronous import AsyncClient, as_they_end
from streams.client.errors import QueryError
from streams.client.scoring import SCORERS, Scorer, checked
from streams.config.settings import Config


class Prompt(msgspec.Struct, frozen=True):
    """A prompt with its reference. scoring: how answers are compared with it."""

    id: str
    answer: Any = None
    prompt: str | None = None
    payload: dict[str, Any] | None = None
    scoring: str = "exact"

    def __post_init__(self) -> None:
        if self.scoring not in SCORERS:
            raise ValueError(f"scoring: it must be one of: {', '.join(SCORERS)}")

    @property
    def query(self) -> Query:
        """What is asked. Raises Invalid where it breaks a rule."""
        return Query(id=self.id, prompt=self.prompt, payload=self.payload)


class Outcome(msgspec.Struct, frozen=True):
    """One model's answer to one prompt. cost: nano-units."""

    id: str
    model: str
    score: float
    cost: int


async def ask_models(
    config: Config,
    prompts: Sequence[Prompt],
    done: Iterable[Outcome],
    add: Callable[[Outcome], None],
    failed: Callable[[QueryError], None],
    *,
    scorer: Scorer | None = None,
    seconds: float = 3600.0,
    in_flight: int = 100,
) -> None:
    """Ask every model every prompt that has no outcome yet, by way of routers and workers.

    Args:
        config: Of the deployment.
        prompts: What is asked.
        done: Outcomes of a run before.
        add: Called with each new outcome.
        failed: Called with each query that got no answer, or one of unknown cost.
        scorer: Of the user's; else the prompt's own.
        seconds: For which a query may wait for money.
        in_flight: Queries at a time.
    """
    there = {(outcome.id, outcome.model) for outcome in done}
    run = sha256(str(time.time_ns()).encode()).hexdigest()[:12]

    async with AsyncClient(config) as client:
        asked = (
            _ask(client, prompt, model, f"bootstrap-{run}", seconds, scorer)
            for prompt in prompts
            for model in client.models
            if (prompt.id, model) not in there
        )
        async for ending in as_they_end(asked, in_flight):
            if isinstance(ending, Outcome):
                add(ending)
            else:
                failed(ending)


async def _ask(
    client: AsyncClient,
    prompt: Prompt,
    model: str,
    run: str,
    seconds: float,
    scorer: Scorer | None,
) -> Outcome | QueryError:
    """One model's outcome of one prompt."""
    query = msgspec.structs.replace(
        prompt.query,
        id=f"{run}/{sha256(prompt.id.encode()).hexdigest()[:16]}/{model}"[:256],
        allowed_models=[model],
        deadline=time.time() + seconds,
    )
    try:
        answer = await client.ask(query)
    except QueryError as error:
        return error
    if answer.cost is None:
        return QueryError(query.id, "unknown_cost", f"{model}: nothing says what it cost")
    return Outcome(prompt.id, model, _score(prompt, answer, scorer), answer.cost)


def _score(prompt: Prompt, answer: Answer, scorer: Scorer | None) -> float:
    score = (scorer or SCORERS[prompt.scoring])(answer.text, prompt.answer)
    return checked(score, f"prompt {prompt.id}")


def history(prompts: Sequence[Prompt], outcomes: Iterable[Outcome]) -> Iterator[Mapping[str, Any]]:
    """Yield lines of a history for `sluice index build`, of prompts that have an outcome."""
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    costs: dict[str, dict[str, float]] = defaultdict(dict)
    for outcome in outcomes:
        scores[outcome.id][outcome.model] = outcome.score
        costs[outcome.id][outcome.model] = outcome.cost / NANO
    for prompt in prompts:
        if prompt.id in scores:
            yield {
                "id": prompt.id,
                "prompt": prompt.query.text(),
                "scores": scores[prompt.id],
                "cost_usd": costs[prompt.id],
            }


def read_outcomes(path: Path) -> list[Outcome]:
    """Read the outcomes of a run before; half a line at the end is cut off."""
    if not path.exists():
        return []
    whole = path.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    path.write_bytes(whole)
    return [msgspec.json.decode(line, type=Outcome) for line in whole.splitlines()]
