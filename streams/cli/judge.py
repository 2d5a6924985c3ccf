"""`sluice judge`: scores for the answers that `sluice history` has collected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import orjson

from router.evaluation.lines import lines
from streams.cli import options
from streams.cli.bar import spending
from streams.client.runs import run_at
from streams.config.limits import to_nano
from streams.config.settings import Config, load
from streams.judge.records import VerdictFile
from streams.judge.sample import case_of, name, sampled, waits, with_score
from streams.judge.session import judge_cases, settings_of


@click.command("judge")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@options.config
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Answers of each day (UTC) that are judged.",
)
@click.option(
    "--budget",
    type=options.Amount(),
    help="What the judge may spend on FILE, in all runs. [default: judge.budget]",
)
@options.in_flight(8, "Answers at a time.")
def command(
    file: Path, config_file: Path, sample: int, budget: Decimal | None, in_flight: int
) -> None:
    """Have the model of [judge] score the answers that `sluice history --answers` has collected.

    Scores are put into FILE, which is then ready for `sluice index build`. What is not judged keeps
    a null score, and so does an answer whose verdict cannot be read. Verdicts gather beside FILE:
    given again, also after FILE was collected again, only what has none is judged, and what was
    spent counts against the budget.
    """
    config = load(config_file)
    settings = settings_of(config)
    allowed = to_nano("--budget", settings.budget if budget is None else budget)
    with options.ending() as ended:
        judge_file(config, file, sample, allowed, in_flight, ended.is_set)
        if ended.is_set():
            raise click.ClickException("interrupted: the same command goes on from here")


def judge_file(
    config: Config,
    file: Path,
    sample: int,
    allowed: int,
    in_flight: int,
    stopped: Callable[[], bool],
) -> None:
    """Judge a sample of a file's answers, put the scores into it, and tell what came of it.

    Args:
        config: With a section [judge].
        file: Lines of a history, with answers.
        sample: Answers of each day.
        allowed: Nano-units, for all runs on this file.
        in_flight: Answers at a time.
        stopped: Whether no more answers are to be judged.
    """
    run = run_at(_beside(file, ".judge.json"), "judge")
    with ExitStack() as stack:
        verdicts = stack.enter_context(VerdictFile(_beside(file, ".verdicts.jsonl")))
        candidates = (line for line in _lines(file) if waits(line) or name(line) in verdicts.found)
        chosen = [case_of(line) for line in sampled(candidates, sample)]
        earlier = sum(case.id in verdicts.found for case in chosen)
        before = len(verdicts.found) - earlier
        bar = spending("judging answers", len(chosen), earlier, verdicts.spent)
        show = stack.enter_context(bar)

        def progress() -> None:
            show(len(verdicts.found) - before, verdicts.spent)

        work = judge_cases(
            config,
            run,
            chosen,
            verdicts,
            allowed,
            in_flight=in_flight,
            progress=progress,
            stopped=stopped,
        )
        judge = asyncio.run(work)
    count = _put_scores(file, verdicts)
    for line in judge.summary(verdicts):
        click.echo(line)
    click.echo(f"{file}: {count} answers have a verdict's score")


def _put_scores(file: Path, verdicts: VerdictFile) -> int:
    """Write the scores that were found into the file, as a whole or not at all."""
    scores = {id: each.score for id, each in verdicts.found.items() if each.score is not None}
    count = 0

    def scored() -> Iterator[dict[str, Any]]:
        nonlocal count
        for line in _lines(file):
            found = scores.get(name(line)) if waits(line) else None
            count += found is not None
            yield line if found is None else with_score(line, found)

    options.write_lines(file, scored())
    return count


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a history. Raises ClickException for one that is none."""
    for number, line in lines(file):
        try:
            found = orjson.loads(line)
            known = isinstance(found, dict) and {"id", "prompt"} <= found.keys()
            known = known and isinstance(found.get("scores"), dict)
        except orjson.JSONDecodeError:
            known = False
        if not known:
            raise click.ClickException(f"{file}, line {number}: no line of a history")
        yield found


def _beside(file: Path, suffix: str) -> Path:
    """Return the path of what is kept beside a file."""
    return file.with_name(file.name.removesuffix(".gz").removesuffix(".jsonl") + suffix)
