"""`sluice history`: write a log's answered queries as a history for the next index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from streams.cli import options
from streams.cli.bar import progress
from streams.config.settings import Config, load
from streams.control.commands import read_registry
from streams.kafka.logs import Logs
from streams.kafka.topics import Topics
from streams.verify.outcomes import history_lines
from streams.verify.receipt_store import ReceiptStore


@click.command("history")
@click.argument("file", type=options.FILE, callback=options.writable_or_stdout)
@options.config
@click.option("--answers", is_flag=True, help="Write the answers too, for `sluice judge`.")
@options.since
@options.until
def command(
    file: Path, config_file: Path, answers: bool, since: float | None, until: float | None
) -> None:
    """Write the log's answered queries to a file, for the next index.

    Each line has the outcome of the one model that the query went to. Where its result carries no
    score, the score is null: such a line teaches costs only, unless the answer is judged (`sluice
    judge`, or you) and a score (0 to 1) put there. Queries without text are left out. FILE is JSON
    lines for `sluice index build --history`, gzip where it ends in .gz; - is standard output. Read
    up to the logs' end at the start.
    """
    judged = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal judged
        for line in collected(load(config_file), since, until, answers):
            judged += any(score is not None for score in line["scores"].values())
            yield line

    count = options.write_lines(file, counted())
    to_stdout = file == options.STDOUT
    words = f"{count} answered queries, {judged} of them judged"
    click.echo(words if to_stdout else f"{file}: {words}", err=to_stdout)


def collected(
    config: Config, since: float | None, until: float | None, answers: bool
) -> Iterator[dict[str, Any]]:
    """Yield the log's answered queries, up to its end at the start, with a bar on a terminal.

    Args:
        config: Names broker and topics.
        since: Unix seconds of the first; None for all.
        until: Unix seconds of the end; None for now.
        answers: Whether lines have the answers' texts.
    """
    logs, topics = Logs(config.broker), Topics(config.topics.prefix)
    asked = [*logs.spans(topics.queries, since, until), *logs.spans(topics.deferred, since)]
    results, receipts = logs.spans(topics.results, since), logs.spans(topics.receipts, since)
    catalog = config.catalog().extended(read_registry(config).newcomers())
    with progress() as bar, ReceiptStore(topics) as receipt_store:
        read = [
            bar.add_task(what, total=sum(span.size for span in spans))
            for what, spans in (("receipts", receipts), ("results", results), ("queries", asked))
        ]
        receipt_store.fill(logs.read(receipts, lambda count: bar.advance(read[0], count)))
        yield from history_lines(
            catalog,
            logs.read(asked, lambda count: bar.advance(read[2], count)),
            logs.read(results, lambda count: bar.advance(read[1], count)),
            receipt_store,
            answers,
        )
