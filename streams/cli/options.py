"""Options shared by commands: --config, files, amounts, times; and waiting for a signal."""

from __future__ import annotations

import gzip
import math
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
from click.decorators import FC

if TYPE_CHECKING:
    from rich.console import Console

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

STDOUT = Path("-")
"""Standard output, for commands that can write there; where `--json` writes without a file."""

config = click.option(
    "--config",
    "-c",
    "config_file",
    type=FILE,
    envvar="SLUICE_CONFIG",
    default=Path("sluice.toml"),
    help="The configuration file.",
)


def writable(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Check that a file can be written, before any work is done.

    Raises:
        click.BadParameter: its folder is missing or not writable, or it is `STDOUT`.
    """
    if path == STDOUT:
        raise click.BadParameter("standard output does not take it: name a file")
    return writable_or_stdout(context, option, path)


def writable_or_stdout(
    context: click.Context, option: click.Parameter, path: Path | None
) -> Path | None:
    """Check that a file can be written, before any work is done. `STDOUT` always can.

    Raises:
        click.BadParameter: its folder is missing or not writable.
    """
    if path is not None and path != STDOUT and not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"folder {path.parent} is not there or not writable")
    return path


HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*(%\w+)?")
"""A name or an address of a host; no URL, and not nothing, which would be every address."""


def json_output(description: str) -> Callable[[Any], Any]:
    """Return the option `--json [FILE]`, whose value `write_json` takes.

    Args:
        description: what is written, for the help.
    """
    return click.option(
        "--json",
        "json_out",
        is_flag=False,
        flag_value=str(STDOUT),
        type=FILE,
        callback=writable_or_stdout,
        metavar="[FILE]",
        help=f"{description} Without FILE it goes to standard output, and nothing else does.",
    )


def write_json(path: Path | None, values: object) -> None:
    """Write values as JSON to a file or to standard output; nowhere for None."""
    if path is None:
        return
    data = orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if path == STDOUT:
        click.echo(data, nl=False)
    else:
        path.write_bytes(data)


def listed(kind: Callable[[str], Any]) -> Callable[..., tuple[Any, ...]]:
    """Return a click callback for comma-separated values; repetitions are dropped."""

    def parse(context: click.Context, option: click.Parameter, value: str) -> tuple[Any, ...]:
        words = [word.strip() for word in value.split(",") if word.strip()]
        try:
            return tuple(dict.fromkeys(kind(word) for word in words))
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from error

    return parse


def console(width: int, stderr: bool = False) -> Console:
    """Return where tables are printed: as wide as the terminal, or `width` where there is none."""
    from rich.console import Console

    return Console(width=None if Console().is_terminal else width, highlight=False, stderr=stderr)


def policy(text: str) -> str:
    """Return the name of a policy.

    Raises:
        ValueError: there is no such policy.
    """
    from router.policies import POLICIES  # numpy is slow to load, and most commands need none

    if text not in POLICIES:
        raise ValueError(f"no policy {text!r}; there are: {', '.join(sorted(POLICIES))}")
    return text


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> int:
    """Write JSON lines to a file, compressed if its name ends in .gz, or to standard output.

    A file that is there is replaced when all lines are written: an error leaves it as it is.

    Returns:
        The number of lines.
    """
    from streams.client.runs import replacing  # loads Kafka's client

    count = 0
    if path == STDOUT:
        for line in lines:
            click.echo(orjson.dumps(line))
            count += 1
        return count
    target = path.resolve()
    is_file = target.is_file() or not target.exists()  # no pipe or device
    with (
        replacing(target) if is_file else nullcontext(target) as draft,
        gzip.open(draft, "wb") if path.suffix == ".gz" else draft.open("wb") as out,
    ):
        for line in lines:
            out.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


@contextmanager
def ending() -> Iterator[threading.Event]:
    """Give an event that is set by Ctrl-C or SIGTERM, instead of their usual effect."""
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Number(click.FloatRange):
    """A number within bounds. NaN is within none, and no comparison finds that."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


class Amount(click.ParamType):
    """An amount in the budget's currency."""

    name = "amount"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Read a decimal number."""
        try:
            return Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount, such as 12.50", param, ctx)


def address(
    context: click.Context, option: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    """Host and port of HOST:PORT."""
    if not value:
        return None
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not HOST.fullmatch(host) or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.BadParameter(f"{value!r} is no address, such as 127.0.0.1:9464")
    return host, int(port)


metrics = click.option(
    "--metrics",
    callback=address,
    envvar="SLUICE_METRICS",
    metavar="HOST:PORT",
    help="Answer Prometheus on http://HOST:PORT/metrics; else SLUICE_METRICS, else nowhere.",
)


traces = click.option(
    "--traces",
    type=click.Choice(["otlp", "console", "none"]),
    envvar="OTEL_TRACES_EXPORTER",
    help="Where spans go: to an OpenTelemetry collector, to standard error, or nowhere; else "
    "OTEL_TRACES_EXPORTER. [default: otlp if OTEL_EXPORTER_OTLP_ENDPOINT is set, else none]",
)


def in_flight(default: int, words: str) -> Callable[[FC], FC]:
    """Return the option --in-flight. words: what there are so many of at a time."""
    kind = click.IntRange(1)
    return click.option("--in-flight", type=kind, default=default, show_default=True, help=words)


most = click.option(
    "--most",
    type=click.IntRange(2),
    default=50_000,
    show_default=True,
    help="Queries that are used: the last ones, where the histories hold more.",
)
keep = click.option(
    "--keep",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Replaced indexes that stay beside the new one, so that `sluice replay --verify` can take "
    "their decisions again.",
)


def moment(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Unix seconds of an ISO 8601 time, of "now", or of a number of them."""
    if value is None:
        return None
    from schemas.fields import LATEST  # `sluice health` does without schemas

    if value == "now":
        return time.time()
    try:
        seconds = _seconds(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LATEST:  # no number lies between
        rule = "it must be now, Unix seconds, or as 2026-11-24T10:00+01:00 (UTC where none is said)"
        raise click.BadParameter(f"{value!r} is no time: {rule}")
    return seconds


def _seconds(text: str) -> float:
    with suppress(ValueError):
        return float(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


since = click.option(
    "--from", "since", callback=moment, help="First time: ISO 8601 or Unix seconds."
)
until = click.option("--to", "until", callback=moment, help="End, not included; or now.")
