"""`sluice batch`: OpenAI batch files without a server."""

from __future__ import annotations

import asyncio
import fcntl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

import click
import msgspec
from rich.table import Table

from router.evaluation.lines import lines
from schemas.fields import NANO
from streams.cli import options
from streams.cli.bar import spending
from streams.client.asynchronous import checked
from streams.client.errors import QueryRejected
from streams.config.settings import load
from streams.serve.batch_files import Outcomes
from streams.serve.batch_lines import LONGEST_WINDOW, Batch
from streams.serve.batch_run import run_batch
from streams.serve.keys import Caller


class _State(msgspec.Struct):
    """What is kept beside the output file, to go on after a kill. digest: of the input file."""

    id: str
    created: float
    digest: str


def _tenant(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Check the name of a tenant, before every request of a file is refused for it."""
    try:
        checked("any words", {"tenant": value})
    except QueryRejected as error:
        raise click.BadParameter(error.reason) from None
    return value


@click.group()
def group() -> None:
    """Answer batch files, as OpenAI's batch API has them."""


@group.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@options.config
@click.option(
    "--out",
    type=options.FILE,
    callback=options.writable,
    help="Where answers go; failed requests go to NAME.errors.jsonl beside it. "
    "[default: FILE with .out.jsonl]",
)
@click.option("--tenant", callback=_tenant, help="On whose behalf the requests are sent.")
@click.option(
    "--hours",
    type=options.Number(0, LONGEST_WINDOW / 3600, min_open=True),
    default=24.0,
    show_default=True,
    help="After which answers are of no use: requests that wait for money then fail.",
)
@options.in_flight(1000, "Requests at a time.")
def run(
    file: Path,
    config_file: Path,
    out: Path | None,
    tenant: str | None,
    hours: float,
    in_flight: int,
) -> None:
    """Answer the requests of a batch file.

    FILE has a request a line, plain or .gz: {"custom_id", "method": "POST", "url":
    "/v1/chat/completions", "body"}. Each gets one line, in the output or in the error file. A run
    that was interrupted goes on when the same command is given again: no request is answered
    twice. Needs routers and workers, and no server. Exits with 1 if a request failed.
    """
    config = load(config_file)
    output = out or file.with_suffix(".out.jsonl")
    errors = output.with_suffix(".errors.jsonl")
    with _state(file, output) as state, Outcomes(output, errors) as outcomes:
        batch = Batch(state.id, Caller("", tenant), state.created, hours * 3600)
        count = sum(1 for _ in lines(file))
        earlier = len(outcomes.done), outcomes.spent
        with spending("answering", count, *earlier) as show, options.ending() as ended:

            def progress() -> None:
                show(len(outcomes.done), outcomes.spent)

            work = run_batch(
                config,
                batch,
                lines(file),
                outcomes,
                in_flight=in_flight,
                progress=progress,
                stopped=ended.is_set,
            )
            asyncio.run(work)
        _summarise(output, errors, outcomes)
        if ended.is_set():
            raise click.ClickException("interrupted: the same command goes on from here")
    if outcomes.failed:
        raise click.exceptions.Exit(1)


@contextmanager
def _state(file: Path, output: Path) -> Iterator[_State]:
    """The state of a run, new or of one before, locked for this process."""
    with file.open("rb") as data:
        digest = file_digest(data, "sha256").hexdigest()
    path = output.with_suffix(".state.json")
    with path.open("a+b") as kept:
        try:
            fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(f"{path}: another process is running this batch") from None
        kept.seek(0)
        if data_before := kept.read():
            try:
                state = msgspec.json.decode(data_before, type=_State)
            except msgspec.DecodeError as error:
                raise click.ClickException(
                    f"{path} is broken ({error}): this run cannot go on; name another --out, and "
                    "every request is asked and paid for again"
                ) from None
            if state.digest != digest:
                raise click.ClickException(
                    f"{output} holds answers to another input than {file}: name another --out"
                )
        else:
            if output.exists():
                raise click.ClickException(f"{output} is there already: name another --out")
            state = _State(f"batch_{uuid.uuid4().hex}", time.time(), digest)
            kept.write(msgspec.json.encode(state))
            kept.flush()
        yield state


def _summarise(output: Path, errors: Path, outcomes: Outcomes) -> None:
    console = options.console(120)
    table = Table("model", box=None, pad_edge=False)
    table.add_column("answers", justify="right")
    for model, count in sorted(outcomes.models.items()):
        table.add_row(model, str(count))
    if outcomes.models:
        console.print(table)
    console.print(f"{outcomes.answered} answered: {output}", markup=False)
    if outcomes.failed:
        console.print(f"{outcomes.failed} failed: {errors}", markup=False)
    console.print(f"spent {outcomes.spent / NANO:.9f}", style="bold")
