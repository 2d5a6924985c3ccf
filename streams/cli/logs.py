"""Log lines: one an event, as text or JSON, bounded in rate."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import click
import orjson

from streams.kafka import fatal
from streams.kafka.presence import CONNECTION_LINES

Format = Literal["text", "json"]

FIELDS = ("decision_id", "trace_id", "query_id", "model", "partition", "suppressed")
"""What a line may carry beside its message (`extra` of the logging calls)."""
NOISY = {"faust": "ERROR", "mode": "ERROR", "aiokafka": "ERROR", "kafka": "ERROR"}
"""Libraries whose lines below this level say nothing that ours do not; at DEBUG all are shown."""
FAUSTS = ("streams.ingest.chunks", "streams.ingest.fetch")
"""Modules whose classes are services of Faust's, which tell when each starts and stops."""
QUIET = {"httpx": "WARNING", "httpcore": "INFO", "asyncio": "WARNING", "uvicorn": "WARNING"}
"""Libraries that log each request or step; the same."""
BURST = 10
"""Lines of one kind (the same place in the code) within `PERIOD`; the others are counted."""
PERIOD = 10.0
"""Seconds."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_SERVICE = re.compile(r"^\[\^-*\w*\]:?\s*")
"""What mode, below Faust, puts before its messages."""


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --log-level and --log-format to a command."""
    level = click.option(
        "--log-level",
        default="INFO",
        show_default=True,
        envvar="SLUICE_LOG_LEVEL",
        type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
        help="DEBUG has a line for each decision; else SLUICE_LOG_LEVEL.",
    )
    form = click.option(
        "--log-format",
        default="text",
        show_default=True,
        envvar="SLUICE_LOG_FORMAT",
        type=click.Choice(["text", "json"]),
        help="A line an event, as text or as JSON; else SLUICE_LOG_FORMAT.",
    )
    return level(form(command))


def configure(level: str, form: Format) -> None:
    """Send all log lines of this process to standard error, in one form."""
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.addFilter(CONNECTION_LINES)
    handler.addFilter(RateBound())
    logging.basicConfig(level=number, handlers=[handler], force=True)
    if number > logging.DEBUG:
        for name, least in (NOISY | QUIET | dict.fromkeys(FAUSTS, "WARNING")).items():
            logging.getLogger(name).setLevel(max(number, logging.getLevelNamesMapping()[least]))
    if form == "json":
        fatal.speak(last_line)


def last_line(reason: str) -> str:
    """Return the JSON line that a process ends with (see `streams.kafka.fatal.die`)."""
    level, name = logging.CRITICAL, fatal.__name__
    record = logging.LogRecord(name, level, "", 0, "stopped: %s", (reason,), None)
    return JsonLines().format(record)


class RateBound(logging.Filter):
    """Lets through `BURST` lines of a kind in `PERIOD`, and counts the others on the next one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds."""
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, int, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line may go out."""
        if record.levelno <= logging.DEBUG:
            return True
        kind = (record.pathname, record.lineno, record.levelno)
        now = self._clock()
        began, count = self._kinds.get(kind, (now, 0))
        if now - began >= PERIOD:
            if count > BURST:
                record.suppressed = count - BURST
            began, count = now, 0
        self._kinds[kind] = (began, count + 1)
        return count < BURST


class _Lines(logging.Formatter):
    """One line an event: what it says, and the fields it carries."""

    def message(self, record: logging.LogRecord) -> str:
        """Return the message without escapes of a terminal."""
        return _SERVICE.sub("", _ESCAPES.sub("", record.getMessage())).strip()

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the fields that are set, and the traceback of an exception."""
        found = {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return found

    def moment(self, record: logging.LogRecord) -> str:
        """Return the time, UTC, to milliseconds."""
        at = datetime.fromtimestamp(record.created, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLines(_Lines):
    """TIME LEVEL LOGGER: MESSAGE name=value…"""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        words = [self.moment(record), record.levelname, f"{record.name}: {self.message(record)}"]
        words += [f"{name}={value}" for name, value in self.fields(record).items()]
        return " ".join(words).replace("\n", "\\n")


class JsonLines(_Lines):
    """{"time", "level", "logger", "message", …}"""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": self.moment(record),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message(record),
            **self.fields(record),
        }
        return orjson.dumps(line, default=str).decode()
