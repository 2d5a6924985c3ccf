"""`sluice results`: read answers back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson

from router.models.catalog import ModelCatalog
from schemas import Invalid, Result
from schemas.result import read_result
from streams.cli import options
from streams.client.answers import Answer, charged, of_result
from streams.config.settings import Config, load
from streams.control.commands import read_registry
from streams.kafka.logs import Logs, Record, Span
from streams.kafka.topics import Topics

EXCERPT = 80
"""Characters of an answer that are shown."""
LOOK_EVERY = 0.2
"""Seconds between two looks for new results."""


@click.command("results")
@options.config
@click.option("--id", "ids", multiple=True, help="Of this query only. May be repeated.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="The whole messages, a line each.")
@options.since
@options.until
def command(
    config_file: Path,
    ids: Sequence[str],
    follow: bool,
    as_json: bool,
    since: float | None,
    until: float | None,
) -> None:
    """Show answers: id, model, status, what it was charged, and its words.

    With --json a line is the result as it lies in the topic, with `charged` in nano-units beside.
    With --follow and --id it ends when each of these queries has an answer.
    """
    if follow and until is not None:
        raise click.UsageError("--follow has no end: leave out --to")
    config = load(config_file)
    catalog = config.catalog().extended(read_registry(config).newcomers())
    wanted = {id.encode() for id in ids}
    left = set(wanted)
    with options.ending() as ended:
        for record in _records(config, since, until, follow, ended):
            if wanted and record.key not in wanted:
                continue
            if (line := _line(record, catalog, as_json)) is not None:
                click.echo(line)
                left.discard(record.key or b"")
            if wanted and not left and follow:
                return
    if left:
        names = ", ".join(sorted(id.decode() for id in left))
        raise click.ClickException(f"no answer to: {names} (why: sluice explain ID)")


def _records(
    config: Config,
    since: float | None,
    until: float | None,
    follow: bool,
    ended: threading.Event,
) -> Iterator[Record]:
    """Results up to now, and then (follow) as they come, until `ended`."""
    logs, topic = Logs(config.broker), Topics(config.topics.prefix).results
    spans = logs.spans(topic, since, until)
    while True:
        yield from logs.read(spans)
        if not follow or ended.wait(LOOK_EVERY):
            return
        ends = {span.partition: span.end for span in spans}
        spans = [Span(topic, s.partition, ends[s.partition], s.end) for s in logs.spans(topic)]


def _line(record: Record, catalog: ModelCatalog, as_json: bool) -> str | bytes | None:
    try:
        result = read_result(record.value)
    except Invalid:
        return None
    cost = charged(result, catalog)
    if as_json:
        whole: dict[str, Any] = msgspec.to_builtins(result)
        return orjson.dumps({**whole, "charged": cost})
    words = " ".join(_words(result, catalog).split())
    shown = words if len(words) <= EXCERPT else words[: EXCERPT - 1] + "…"
    amount = "?" if cost is None else f"{cost / 1e9:.9f}"
    return f"{result.id}  {result.model}  {result.status_code}  {amount}  {shown}"


def _words(result: Result, catalog: ModelCatalog) -> str:
    ending = of_result(result, catalog)
    return ending.text if isinstance(ending, Answer) else ending.reason
