"""Says in the log when no broker answers any more, from time to time while that lasts, and when one
answers again.

The libraries write a line for each connection that fails, some ten a second and client: of those
one passes in `REMIND` seconds.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

logger = logging.getLogger(__name__)

REMIND = 30.0
"""Seconds between two lines about the same absence."""
UNREACHABLE = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT}
)
"""Error codes that mean that no broker answers; with any other, one has answered."""
LIBRARIES = ("librdkafka", "aiokafka", "kafka", "faust", "mode")
"""Loggers of those that connect."""
_CONNECTION = re.compile(
    r"connect|brokers are down|not ready|update metadata|coordinator dead|heartbeat|timed out"
    r"|\[Errno \d+\]|no response|failed fetch|coordinator request failed",
    re.IGNORECASE,
)


class Presence:
    """Whether a broker answers this process, as the last question to one shows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._answered = clock()
        self._away_since: float | None = None
        self._told = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Learn from a question to a broker, which is asked in this context. From any thread."""
        began = self._clock()
        try:
            yield
        except (KafkaException, TimeoutError) as error:
            if (why := _unreachable(error)) is not None:
                self._missed(began, why)
            raise
        else:
            self._found()

    def _missed(self, began: float, why: str) -> None:
        with self._lock:
            now = self._clock()
            if self._away_since is None:
                if began < self._answered:
                    return  # another question has been answered since
                self._away_since = began
                logger.warning("no broker answers (%s)", why)
            elif now - self._told >= REMIND:
                away = now - self._away_since
                logger.warning("no broker has answered for %.0f s (%s)", away, why)
            else:
                return
            self._told = now

    def _found(self) -> None:
        with self._lock:
            self._answered = self._clock()
            if self._away_since is not None:
                away = self._answered - self._away_since
                logger.warning("a broker answers again, after %.0f s", away)
            self._away_since = None


PRESENCE = Presence()
"""Of this process."""


class ConnectionLines(logging.Filter):
    """Lets one of the libraries' lines about connections through in `REMIND` seconds.

    It may stand at a logger and at a handler: a line that has passed once passes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds."""
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()
        self._suppressed = 0
        self._passed: logging.LogRecord | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line may go out."""
        if record.levelno <= logging.DEBUG or record.name.partition(".")[0] not in LIBRARIES:
            return True
        if record is self._passed or not _CONNECTION.search(record.getMessage()):
            return True
        with self._lock:
            now = self._clock()
            if now < self._next:
                self._suppressed += 1
                return False
            self._next = now + REMIND
            if self._suppressed:
                record.suppressed = self._suppressed
            self._suppressed = 0
            self._passed = record
        return True


CONNECTION_LINES = ConnectionLines()
"""Of this process."""


def _unreachable(error: KafkaException | TimeoutError) -> str | None:
    """Return the reason where an error means that no broker answers; else None."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cause = error.args[0] if error.args else None
    if isinstance(cause, KafkaError) and cause.code() in UNREACHABLE:
        return str(cause.str())
    return None
