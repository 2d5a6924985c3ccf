"""`sluice produce`: send queries from a file."""

from __future__ import annotations

import secrets
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from router.evaluation.lines import DatasetError, lines, lines_of
from schemas.invalid import Invalid
from streams.cli import options
from streams.cli.bar import make
from streams.client.produce import Sender, checked, paced
from streams.config.settings import load
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topics

STDIN = Path("-")
SHOWN = 10
"""Bad lines that --skip-bad names; the others are counted."""


class BadLine(click.ClickException):
    """A line that is no query."""


@click.command("produce")
@click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True)
)
@options.config
@click.option(
    "--rate", type=options.Number(0, min_open=True), help="Queries a second. [default: no limit]"
)
@click.option("--topic", help="Another topic. [default: the configuration's queries]")
@click.option(
    "--batch",
    help="Name of an OpenAI batch file in its queries' ids, BATCH/CUSTOM_ID. To repeat one, give "
    "the name of the first time: what was taken then is not answered twice. [default: a new one]",
)
@click.option("--skip-bad", is_flag=True, help="Pass over lines that are no query.")
def command(
    file: Path,
    config_file: Path,
    rate: float | None,
    topic: str | None,
    batch: str | None,
    skip_bad: bool,
) -> None:
    """Send queries from a file to the topic queries.

    FILE, or standard input for -, has JSON lines, plain or gzip. A line is a query ({"id",
    "prompt"} or {"id", "payload"}, and what else a query may say); or a request of an OpenAI batch
    file ({"custom_id", "method", "url", "body"}; the model that its body names is ignored); or a
    row of a dataset: of that only id and prompt are sent, never its outcomes. The id is the key.
    """
    config = load(config_file)
    topic = topic or Topics(config.topics.prefix).queries
    batch = batch or f"batch-{secrets.token_hex(6)}"
    name = "standard input" if file == STDIN else str(file)
    bad = _BadLines(name, skip_bad)
    sender = Sender(for_librdkafka(config.broker), topic)
    batched = 0
    with _bar() as bar:
        size = None if file == STDIN else file.stat().st_size or None  # a pipe has none
        task = bar.add_task("", total=size, sent=0)
        if file == STDIN:
            source = lines_of(click.get_binary_stream("stdin"), name)
        else:
            source = lines(file, lambda at: bar.update(task, completed=at))
        try:
            for line in paced(checked(source, bad, batch), rate, sender):
                batched += line.key.startswith(f"{batch}/".encode())
                bar.update(task, sent=sender.sent)
        except (BadLine, DatasetError) as error:
            sender.flush()
            sent = f"{error}\n{sender.acknowledged} queries before it were sent and acknowledged"
            more = "; pass over such lines with --skip-bad" if isinstance(error, BadLine) else ""
            raise click.ClickException(sent + more) from None
        sender.flush()
    passed = f", {bad.skipped} bad lines passed over" if bad.skipped else ""
    click.echo(f"{topic}: {sender.acknowledged} of {sender.sent} queries acknowledged{passed}")
    if batched:
        click.echo(f"ids of {batched} requests of a batch file: {batch}/CUSTOM_ID")


class _BadLines:
    """Called with lines that are no query: raises, or names the first `SHOWN` and counts all."""

    def __init__(self, name: str, skip: bool) -> None:
        self._name = name
        self._skip = skip
        self.skipped = 0

    def __call__(self, number: int, error: Invalid) -> None:
        where = f"{self._name}, line {number}: {error.reason}"
        if not self._skip:
            raise BadLine(where)
        self.skipped += 1
        if self.skipped <= SHOWN:
            click.echo(f"passed over {where}", err=True)


def _bar() -> Progress:
    return make(
        TextColumn("sending"),
        BarColumn(),
        TextColumn("{task.fields[sent]} queries"),
        TimeElapsedColumn(),
    )
