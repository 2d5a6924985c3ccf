"""`sluice bootstrap`: a first history and index, from prompts with reference answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from router.evaluation.lines import lines
from schemas.fields import NANO
from schemas.invalid import Invalid
from streams.cli import index, options
from streams.cli.bar import progress
from streams.client.bootstrap import Outcome, Prompt, ask_models, history, read_outcomes
from streams.client.errors import QueryError
from streams.client.scoring import Scorer, own
from streams.config.settings import Config, load

SHOWN = 5
"""Failures that are shown; the others are counted."""


@click.command("bootstrap")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@options.config
@click.option(
    "--history",
    "out",
    type=options.FILE,
    default=Path("history.jsonl"),
    show_default=True,
    help="The history to write. Outcomes gather beside it, so that a run can go on.",
)
@click.option("--score", help="MODULE:FUNCTION(text, reference) that gives 0 to 1.")
@click.option(
    "--in-flight",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Queries at a time.",
)
@click.pass_context
def command(
    context: click.Context,
    file: Path,
    config_file: Path,
    out: Path,
    score: str | None,
    in_flight: int,
) -> None:
    """Ask every model a sample of prompts, score the answers, and build the index.

    FILE has JSON lines: {"id", "prompt" or "payload", "answer", "scoring"}; scoring is exact,
    numeric, regex or choice. Queries go through routers, workers and limits as all others do. Given
    again after an interruption, it asks only what has no outcome yet.
    """
    config = load(config_file)
    prompts = _prompts(file)
    try:
        scorer = own(score) if score is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--score") from None
    kept = out.with_suffix(".outcomes.jsonl")
    outcomes = read_outcomes(kept)
    failures = _ask(config, prompts, outcomes, kept, scorer, in_flight)
    for failure in failures[:SHOWN]:
        click.echo(str(failure), err=True)
    if not outcomes:
        raise click.ClickException(f"no model has answered; {len(failures)} queries failed")
    options.write_lines(out, [dict(line) for line in history(prompts, outcomes)])
    _show(outcomes, len(failures))
    context.invoke(index.build, histories=(out,), config_file=config_file)


def _prompts(file: Path) -> list[Prompt]:
    found: dict[str, Prompt] = {}
    for number, line in lines(file):
        try:
            prompt = msgspec.json.decode(line, type=Prompt)
            prompt.query.text()
        except (msgspec.DecodeError, Invalid) as error:
            raise click.ClickException(f"{file}, line {number}: {error}") from None
        found[prompt.id] = prompt
    return list(found.values())


def _ask(
    config: Config,
    prompts: Sequence[Prompt],
    outcomes: list[Outcome],
    kept: Path,
    scorer: Scorer | None,
    in_flight: int,
) -> list[QueryError]:
    """Add the outcomes that are missing, to the list and to the file; return what failed."""
    failures: list[QueryError] = []
    with kept.open("ab") as file, progress() as bar:
        task = bar.add_task("asking models", total=len(prompts) * len(config.models))
        bar.advance(task, len(outcomes))

        def add(outcome: Outcome) -> None:
            outcomes.append(outcome)
            file.write(msgspec.json.encode(outcome) + b"\n")
            file.flush()
            bar.advance(task)

        fail: Callable[[QueryError], None] = failures.append
        work = ask_models(
            config, prompts, list(outcomes), add, fail, scorer=scorer, in_flight=in_flight
        )
        asyncio.run(work)
    return failures


def _show(outcomes: Sequence[Outcome], failures: int) -> None:
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    table = Table("model", box=None, pad_edge=False)
    for name in ("answers", "mean score", "spent"):
        table.add_column(name, justify="right")
    answers = Counter(outcome.model for outcome in outcomes)
    for model, count in answers.items():
        own = [outcome for outcome in outcomes if outcome.model == model]
        mean = sum(outcome.score for outcome in own) / count
        spent = sum(outcome.cost for outcome in own) / NANO
        table.add_row(model, str(count), f"{mean:.3f}", f"{spent:.6f}")
    console.print(table)
    total = sum(outcome.cost for outcome in outcomes) / NANO
    console.print(f"spent {total:.6f}; {failures} queries got no answer", style="bold")
