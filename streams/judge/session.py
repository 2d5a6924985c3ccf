"""One run of a judge: connected as the configuration says, resumed from its file of verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from schemas.invalid import missing, wrong
from streams.client.asynchronous import AsyncClient
from streams.client.earlier import Earlier
from streams.client.runs import Run
from streams.config.judge import JudgeSettings
from streams.config.settings import Config
from streams.judge.calls import Calls, EndpointCalls, RoutedCalls
from streams.judge.judge import Judge
from streams.judge.records import Verdict, VerdictFile
from streams.judge.verdict import Case


def settings_of(config: Config) -> JudgeSettings:
    """Return the section [judge].

    Raises:
        Invalid: There is none, or it names a model that is not configured.
    """
    if config.judge is None:
        raise missing("judge", "it names the model that judges; see docs/how-to/judge.md")
    if config.judge.model is not None and config.judge.model not in config.models:
        known = ", ".join(config.models)
        raise wrong("judge.model", config.judge.model, f"it must be one of: {known}")
    return config.judge


async def judge_cases(
    config: Config,
    run: Run,
    cases: Iterable[Case],
    verdicts: VerdictFile,
    budget: int,
    *,
    in_flight: int,
    progress: Callable[[], None] = lambda: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Judge:
    """Judge the cases that have no verdict yet, and add theirs.

    Args:
        config: With a section [judge].
        run: Names the calls.
        cases: All of them.
        verdicts: Open.
        budget: Nano-units for the whole run, its earlier parts included.
        in_flight: Cases at a time.
        progress: Called after each verdict.
        stopped: Whether no more cases are to be begun.

    Returns:
        The judge, which says what was spent and what failed.
    """
    settings = settings_of(config)

    def add(verdict: Verdict) -> None:
        verdicts.add(verdict)
        progress()

    async with AsyncExitStack() as stack:
        calls: Calls
        if settings.model is None:
            endpoint = EndpointCalls.of(settings, in_flight)
            stack.push_async_callback(endpoint.close)
            calls = endpoint
        else:
            earlier = Earlier(f"{run.id}/", run.created)
            client = await stack.enter_async_context(AsyncClient(config, **earlier.settings()))
            catalog = config.catalog()
            model = catalog.models[catalog.index[settings.model]]
            wait = settings.wait_seconds
            calls = RoutedCalls(client, earlier, model, settings.tenant, wait)
        judge = Judge(calls, run.id, run.secret, budget, verdicts.spent)
        left = (case for case in cases if case.id not in verdicts.found)
        await judge.judge_all(left, add, in_flight, stopped)
    return judge
