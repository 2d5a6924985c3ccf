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
from streams.client.earlier import Earlier
from streams.client.errors import QueryError
from streams.client.runs import RUN, Run, cut_after_whole_lines
from streams.config.settings import Config
from streams.learn.scoring import SCORERS, Scorer, checked

JUDGE = "judge"
"""The scoring by a judge model: what is found first are the answers' texts, without scores."""


class Prompt(msgspec.Struct, frozen=True):
    """A prompt with its reference. scoring: how answers are compared with it; None for the run's
    own way.
    """

    id: str
    answer: Any = None
    prompt: str | None = None
    payload: dict[str, Any] | None = None
    scoring: str | None = None

    def __post_init__(self) -> None:
        if self.scoring not in (None, JUDGE, *SCORERS):
            raise ValueError(f"scoring: it must be one of: {', '.join([*SCORERS, JUDGE])}")

    @property
    def query(self) -> Query:
        """What is asked. Raises Invalid where it breaks a rule."""
        return Query(id=self.id, prompt=self.prompt, payload=self.payload)


class Outcome(msgspec.Struct, frozen=True):
    """One model's answer to one prompt. score: None where a judge is to give it; cost: nano-units;
    text: the answer, where a judge needs it.
    """

    id: str
    model: str
    score: float | None
    cost: int
    text: str | None = None

    @property
    def case(self) -> str:
        """The name of the prompt and the model in ids of queries."""
        return f"{digest(self.id)}/{self.model}"[:200]


async def ask_models(
    config: Config,
    run: Run,
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

    The queries of a run have the same ids whenever it is begun again, and what was answered
    meanwhile is read back: so no answer is paid twice, whenever it is killed.

    Args:
        config: Of the deployment.
        run: Names the queries.
        prompts: What is asked.
        done: Outcomes of a run before.
        add: Called with each new outcome.
        failed: Called with each query that got no answer, or one of unknown cost.
        scorer: Of the user's; else the prompt's own.
        seconds: For which a query may wait for money.
        in_flight: Queries at a time.
    """
    there = {(outcome.id, outcome.model) for outcome in done}
    earlier = Earlier(f"{run.id}/", run.created)

    async with AsyncClient(config, **earlier.settings()) as client:
        asked = (
            _ask(client, earlier, prompt, model, run, seconds, scorer)
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
    earlier: Earlier,
    prompt: Prompt,
    model: str,
    run: Run,
    seconds: float,
    scorer: Scorer | None,
) -> Outcome | QueryError:
    """One model's outcome of one prompt."""
    query = msgspec.structs.replace(
        prompt.query,
        id=f"{run.id}/{Outcome(prompt.id, model, None, 0).case}",
        allowed_models=[model],
        deadline=time.time() + seconds,
        metadata={RUN: run.id},
    )
    answer = earlier.pop(query.id)
    if answer is None:
        try:
            answer = await client.ask(query)
        except QueryError as error:
            return error
    if answer.cost is None:
        return QueryError(query.id, "unknown_cost", f"{model}: nothing says what it cost")
    if prompt.scoring == JUDGE:
        return Outcome(prompt.id, model, None, answer.cost, answer.text)
    return Outcome(prompt.id, model, _score(prompt, answer, scorer), answer.cost)


def _score(prompt: Prompt, answer: Answer, scorer: Scorer | None) -> float:
    own = SCORERS[prompt.scoring or "exact"]
    return checked((scorer or own)(answer.text, prompt.answer), f"prompt {prompt.id}")


def digest(id: str) -> str:
    """Return a short name of a prompt that fits into an id."""
    return sha256(id.encode()).hexdigest()[:16]


def history(prompts: Sequence[Prompt], outcomes: Iterable[Outcome]) -> Iterator[Mapping[str, Any]]:
    """Yield lines of a history for `sluice index build`, of prompts that have an outcome."""
    scores: dict[str, dict[str, float | None]] = defaultdict(dict)
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
    found: list[Outcome] = []

    def take(line: bytes) -> bool:
        found.append(msgspec.json.decode(line, type=Outcome))
        return True

    with path.open("ab+") as file:
        cut_after_whole_lines(file, take)
    return found
