"""`sluice bootstrap`: a first history and index, from prompts and answers that are scored."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from statistics import fmean

import click
import msgspec
from rich.table import Table

from router.evaluation.lines import lines
from schemas.fields import NANO
from streams.cli import index, options
from streams.cli.bar import spending
from streams.client.errors import QueryError
from streams.client.runs import Run, run_at
from streams.config.limits import to_nano
from streams.config.settings import Config, load
from streams.judge.records import VerdictFile
from streams.judge.session import judge_cases, settings_of
from streams.judge.verdict import Case, Mode
from streams.learn.bootstrap import JUDGE, Outcome, Prompt, ask_models, history, read_outcomes
from streams.learn.scoring import SCORERS, Scorer, check_reference, own

FEWEST = 2
"""Prompts that an index can be built of."""
SHOWN = 5
"""Failures that are shown; the others are counted."""


@click.command("bootstrap")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@options.config
@click.option(
    "--history",
    "out",
    type=options.FILE,
    callback=options.writable,
    default=Path("history.jsonl"),
    show_default=True,
    help="The history to write. Outcomes gather beside it, so that a run can go on.",
)
@click.option("--score", help="MODULE:FUNCTION(text, reference) that gives 0 to 1.")
@click.option(
    "--judge",
    "mode",
    type=click.Choice(["pointwise", "pairwise"]),
    help="Have the model of [judge] score the answers to prompts that name no other scoring.",
)
@click.option(
    "--against",
    help="The model whose answers the others are compared with (pairwise). [default: the dearest]",
)
@click.option(
    "--budget",
    type=options.Amount(),
    help="What the judge may spend in this run. [default: judge.budget of the configuration]",
)
@options.in_flight(100, "Queries at a time.")
@click.pass_context
def command(
    context: click.Context,
    file: Path,
    config_file: Path,
    out: Path,
    score: str | None,
    mode: Mode | None,
    against: str | None,
    budget: Decimal | None,
    in_flight: int,
) -> None:
    """Ask every model a sample of prompts, score the answers, and build the index.

    FILE has JSON lines: {"id", "prompt" or "payload", "answer", "scoring"}; scoring is exact,
    numeric, regex, choice or judge. Queries go through routers, workers and limits as all others
    do. Given again after an interruption, it goes on: what was asked before is not paid twice.
    """
    config = load(config_file)
    if against is not None and mode != "pairwise":
        raise click.BadParameter("it goes with --judge pairwise", param_hint="--against")
    prompts = _prompts(file, "exact" if mode is None else JUDGE, score is not None)
    if len(prompts) < FEWEST:
        raise click.ClickException(f"{file}: {len(prompts)} prompts, an index needs {FEWEST}")
    judged = any(prompt.scoring == JUDGE for prompt in prompts)
    try:
        scorer = own(score) if score is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--score") from None
    if judged:
        settings = settings_of(config)
        budget = settings.budget if budget is None else budget
        against = _against(config, against) if mode == "pairwise" else None
    kept = out.with_suffix(".outcomes.jsonl")
    run = run_at(out.with_suffix(".run.json"), "bootstrap")
    outcomes = read_outcomes(kept)
    failures = _ask(config, run, prompts, outcomes, kept, scorer, in_flight)
    for failure in failures[:SHOWN]:
        click.echo(str(failure), err=True)
    if not outcomes:
        raise click.ClickException(f"no model has answered; {len(failures)} queries failed")
    if judged:
        assert budget is not None
        verdicts = out.with_suffix(".verdicts.jsonl")
        outcomes = _judge(config, run, prompts, outcomes, verdicts, against, budget, in_flight)
    options.write_lines(out, [dict(line) for line in history(prompts, outcomes)])
    _show(outcomes, len(failures))
    if all(outcome.score is None for outcome in outcomes):
        raise click.ClickException("no answer has a score: no index is built")
    context.invoke(index.build, histories=(out,), config_file=config_file)


def _against(config: Config, name: str | None) -> str:
    """Return the model that others are compared with."""
    if name is None:
        return max(config.models, key=lambda each: config.models[each].output_price)
    if name not in config.models:
        raise click.BadParameter(f"there is no model {name}", param_hint="--against")
    return name


def _judge(
    config: Config,
    run: Run,
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    file: Path,
    against: str | None,
    budget: Decimal,
    in_flight: int,
) -> list[Outcome]:
    """Have the answers judged that have no score; return all outcomes, with what was found."""
    cases = list(_cases(prompts, outcomes, against))
    with VerdictFile(file) as verdicts:
        earlier = len(verdicts.found), verdicts.spent
        with spending("judging answers", len(cases), *earlier) as show:
            work = judge_cases(
                config,
                run,
                cases,
                verdicts,
                to_nano("--budget", budget),
                in_flight=in_flight,
                progress=lambda: show(len(verdicts.found), verdicts.spent),
            )
            judge = asyncio.run(work)
        for line in judge.summary(verdicts):
            click.echo(line)
    return [_scored(outcome, verdicts, against) for outcome in outcomes]


def _scored(outcome: Outcome, verdicts: VerdictFile, against: str | None) -> Outcome:
    """Return an outcome with its verdict; what others are compared with is as good as itself."""
    if outcome.text is None:
        return outcome
    found = verdicts.found.get(outcome.case)
    score = 0.5 if outcome.model == against else None if found is None else found.score
    return msgspec.structs.replace(outcome, score=score)


def _cases(
    prompts: Sequence[Prompt], outcomes: Sequence[Outcome], against: str | None
) -> Iterator[Case]:
    """Yield the answers to judge; for a comparison, all but those that others are compared with."""
    asked = {prompt.id: prompt for prompt in prompts}
    others = {outcome.id: outcome.text for outcome in outcomes if outcome.model == against}
    for outcome in outcomes:
        prompt = asked.get(outcome.id)
        if outcome.text is None or prompt is None or outcome.model == against:
            continue
        other = others.get(outcome.id)
        if against is not None and other is None:
            continue
        reference = None if prompt.answer is None else str(prompt.answer)
        yield Case(outcome.case, prompt.query.text(), outcome.text, reference, other)


def _prompts(file: Path, scoring: str, by_function: bool) -> list[Prompt]:
    """Read the prompts, and check that their answers can be scored.

    Args:
        file: Of prompts.
        scoring: Of those that name none.
        by_function: Whether a function of the user's scores, whatever they name.
    """
    found: dict[str, Prompt] = {}
    for number, line in lines(file):
        try:
            prompt = msgspec.json.decode(line, type=Prompt)
            prompt.query.text()
            way = prompt.scoring or scoring
            if way in SCORERS and not by_function:
                check_reference(way, prompt.answer)
            if prompt.id in found:
                raise ValueError(f"id: {prompt.id!r} appears a second time")
        except ValueError as error:  # also what msgspec raises
            raise click.ClickException(f"{file}, line {number}: {error}") from None
        found[prompt.id] = msgspec.structs.replace(prompt, scoring=way)
    return list(found.values())


def _ask(
    config: Config,
    run: Run,
    prompts: Sequence[Prompt],
    outcomes: list[Outcome],
    kept: Path,
    scorer: Scorer | None,
    in_flight: int,
) -> list[QueryError]:
    """Add the outcomes that are missing, to the list and to the file; return what failed."""
    failures: list[QueryError] = []
    spent = sum(outcome.cost for outcome in outcomes)
    total = len(prompts) * len(config.models)
    with kept.open("ab") as file, spending("asking models", total, len(outcomes), spent) as show:

        def add(outcome: Outcome) -> None:
            nonlocal spent
            outcomes.append(outcome)
            file.write(msgspec.json.encode(outcome) + b"\n")
            file.flush()
            spent += outcome.cost
            show(len(outcomes), spent)

        fail: Callable[[QueryError], None] = failures.append
        work = ask_models(
            config, run, prompts, list(outcomes), add, fail, scorer=scorer, in_flight=in_flight
        )
        asyncio.run(work)
    return failures


def _show(outcomes: Sequence[Outcome], failures: int) -> None:
    console = options.console(120)
    table = Table("model", box=None, pad_edge=False)
    for name in ("answers", "scored", "mean score", "spent"):
        table.add_column(name, justify="right")
    answers = Counter(outcome.model for outcome in outcomes)
    for model, count in answers.items():
        own = [outcome for outcome in outcomes if outcome.model == model]
        scores = [outcome.score for outcome in own if outcome.score is not None]
        mean = f"{fmean(scores):.3f}" if scores else "unknown"
        spent = sum(outcome.cost for outcome in own) / NANO
        table.add_row(model, str(count), str(len(scores)), mean, f"{spent:.6f}")
    console.print(table)
    total = sum(outcome.cost for outcome in outcomes) / NANO
    console.print(f"spent {total:.6f}; {failures} queries got no answer", style="bold")
