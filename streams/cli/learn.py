"""`sluice learn`: new indexes from the log, once or on a schedule."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from router.evaluation.datasets import Dataset, joined, read_jsonl
from router.evaluation.lines import lines
from streams.cli import options
from streams.cli.history import collected
from streams.cli.judge import judge_file
from streams.config.limits import to_nano
from streams.config.settings import Config, load
from streams.judge.session import settings_of
from streams.learn.building import drafted, newest
from streams.learn.guard import judged
from streams.routing.prior import prior_rows

IN_FLIGHT = 8
"""Answers that are judged at a time."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Seconds of a duration, such as 90s, 30m, 1h or 1d."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value.strip())
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{value!r} is no duration, such as 30m or 1h")
    return float(found[1]) * UNITS[found[2]]


@click.command("learn")
@options.config
@click.option(
    "--every", callback=duration, metavar="DURATION", help="Again and again, such as every 1h."
)
@click.option(
    "--history",
    "histories",
    type=options.FILE,
    multiple=True,
    help="A history to learn from beside the log, as of `sluice bootstrap`. May be repeated.",
)
@click.option(
    "--log",
    type=options.FILE,
    callback=options.writable,
    default=Path("learned.jsonl.gz"),
    show_default=True,
    help="Where the log's answered queries are collected.",
)
@click.option(
    "--judge",
    "sample",
    type=click.IntRange(1),
    help="Have the model of [judge] score so many answers of each day before.",
)
@options.most
@options.keep
@options.since
def command(
    config_file: Path,
    every: float | None,
    histories: tuple[Path, ...],
    log: Path,
    sample: int | None,
    most: int,
    keep: int,
    since: float | None,
) -> None:
    """Build an index from the log, and take it unless it does worse than the one in use.

    Worse is less value: the scores, net of what they cost, of the decisions that the program would
    take on estimates without the query's own outcome. Running routers find an index that is taken
    within seconds. A kill at any moment leaves the old index or the new one. With --every a failure
    is told, and the next time comes.
    """
    config = load(config_file)
    if sample is not None:
        settings_of(config)
    before: tuple[int, int] | None = None
    with options.ending() as ended:
        while True:
            try:
                collect(config, log, sample, since, ended)
                data = learned(config, log, histories, most)
                size = (len(data), int(np.isfinite(data.scores).sum()))
                if size == before:
                    click.echo("nothing new to learn from")
                elif not ended.is_set():
                    click.echo(update(config, data, keep))
                before = size
            except Exception as error:
                if every is None or (words := _words(error)) is None:
                    raise
                click.echo(f"not learned this time: {words}", err=True)
            if every is None or ended.wait(every):
                return


def collect(
    config: Config, log: Path, sample: int | None, since: float | None, ended: threading.Event
) -> None:
    """Write the log's answered queries to a file, and have a sample judged."""
    answers = sample is not None
    lines = (line for line in collected(config, since, None, answers) if line["prompt"])
    options.write_lines(log, lines)
    if sample is not None:
        allowed = to_nano("judge.budget", settings_of(config).budget)
        judge_file(config, log, sample, allowed, IN_FLIGHT, ended.is_set)


def learned(config: Config, log: Path, histories: Sequence[Path], most: int) -> Dataset:
    """Return what is known: the last queries, and beliefs where too little is known of a model.

    Raises:
        ClickException: No answer has a score.
    """
    parts = [read_jsonl(path) for path in histories]
    if _has_lines(log):
        parts.append(read_jsonl(log))
    parts = [part for part in parts if set(part.models) & set(config.models)]
    if not any(np.isfinite(part.scores).any() for part in parts):
        raise click.ClickException("nothing to learn from: no answer in the log has a score")
    data = newest(joined(parts), most)
    count = dict(zip(data.models, np.isfinite(data.scores).sum(axis=0).tolist(), strict=True))
    known = np.array([count.get(model, 0) for model in config.models], dtype=np.int64)
    beliefs = prior_rows(config, known)
    whole = data if beliefs is None else joined([data, beliefs])
    return whole.with_models(config.models)


def update(config: Config, data: Dataset, keep: int) -> str:
    """Build an index, and put it in place unless it does worse. Returns a line for people."""
    draft = drafted(config, data)
    judgement = judged(config, draft)
    if not judgement.taken:
        return f"not taken, the index in use stays: {judgement.words}"
    manifest = draft.write(config, keep)
    return f"index {manifest.version} of {manifest.count} queries is taken: {judgement.words}"


def _has_lines(log: Path) -> bool:
    return next(lines(log), None) is not None


def _words(error: Exception) -> str | None:
    """Return the message of an error of a known kind; None for a defect."""
    from streams.cli import explained

    return error.message if isinstance(error, click.ClickException) else explained(error)
