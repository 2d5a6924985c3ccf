"""Log lines: one an event, in both forms, bounded in rate."""

from __future__ import annotations

import logging
import subprocess
import sys

import orjson
import pytest

from streams.cli import logs


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    """A warning as the logging module makes it."""
    made = logging.LogRecord("a.b", logging.WARNING, "f.py", 7, message, arguments, None)
    made.__dict__.update(fields)
    return made


@pytest.mark.parametrize("form", [logs.TextLines(), logs.JsonLines()])
def test_an_event_is_one_line(form: logging.Formatter) -> None:
    """Also with a traceback, and with whatever a model's server says."""
    try:
        raise ValueError("two\nlines")
    except ValueError:
        event = record("it said %s", "a\nb\x1b[31m")
        event.exc_info = sys.exc_info()
    line = form.format(event)
    assert "\n" not in line
    assert "\x1b" not in line
    assert "ValueError: two" in line


def test_text() -> None:
    """Time, level, logger, message, fields."""
    line = logs.TextLines().format(record("no %s", "answer", decision_id="q-0-1"))
    assert line[10] == "T"
    assert line[23:] == "Z WARNING a.b: no answer decision_id=q-0-1"


def test_json() -> None:
    """The same as an object, for a collector."""
    event = record("[^--Consumer]: no %s", "answer", decision_id="q-0-1", trace_id="0af7")
    line = orjson.loads(logs.JsonLines().format(event))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "a.b",
        "message": "no answer",
        "decision_id": "q-0-1",
        "trace_id": "0af7",
    }


def test_lines_of_a_kind_are_bounded() -> None:
    """The first ones go out; the next period's first says how many did not. Others are not held."""
    now = 0.0
    bound = logs.RateBound(lambda: now)
    assert [bound.filter(record("x %s", i)) for i in range(12)] == [True] * 10 + [False] * 2
    other = record("y")
    other.lineno = 8
    assert bound.filter(other)
    now = logs.PERIOD
    late = record("x")
    assert bound.filter(late)
    assert logs.TextLines().format(late).endswith("suppressed=2")


def test_the_last_line_is_json_too() -> None:
    """What ends a process is an event as any other."""
    script = (
        "from streams.cli import logs; from streams.kafka.fatal import die\n"
        "logs.configure('info', 'json'); die('no disk')"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    line = orjson.loads(ran.stderr)
    assert (line["level"], line["message"]) == ("CRITICAL", "stopped: no disk")
