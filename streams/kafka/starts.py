"""Reads the topic `starts`: which decisions a worker has begun a call for.

It is read when a reservation ends without a result, and not before: nobody follows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from schemas.start import Start
from schemas.wire import Invalid, decode
from streams.kafka.logs import Logs

SKEW = 60.0
"""Seconds by which clocks of two machines may differ, and a record may be on its way."""


@dataclass(slots=True)
class _Read:
    """What has been read of one partition.

    Attributes:
        since: Unix seconds from which on.
        at: Unix seconds at which it was read last.
        end: The offset up to which.
        times: Unix seconds by decision id, in the order of the log.
        returned: Ids of those that were given back.
    """

    since: float
    at: float = 0.0
    end: int = 0
    times: dict[str, float] = field(default_factory=dict)
    returned: set[str] = field(default_factory=set)


class Calls(NamedTuple):
    """What workers have said of decisions, by their ids.

    Attributes:
        begun: A call has begun, and has not been given back.
        returned: Given back: no call is made, and none was charged.
    """

    begun: Collection[str] = ()
    returned: Collection[str] = ()


class StartLog:
    """The decisions that workers have begun, read on demand. May be used from several threads."""

    def __init__(
        self, logs: Logs, topic: str, hold: float, clock: Callable[[], float] = time.time
    ) -> None:
        """Read nothing yet.

        Args:
            logs: Reads the topic.
            topic: Its name.
            hold: Seconds for which a reservation lasts. So much more is kept than was asked for, as
                questions come in almost any order.
            clock: Unix time in seconds.
        """
        self.topic = topic
        self.hold = hold
        self._logs = logs
        self._clock = clock
        self._read: dict[int, _Read] = {}
        self._lock = Lock()

    def now(self) -> float:
        """Return the Unix time in seconds, as a question is asked."""
        return self._clock()

    def decisions(
        self, partition: int, since: float, until: float, asked: float | None = None
    ) -> Calls:
        """Return what workers have said of the decisions of a partition.

        Blocks while it reads what has come since the last call, unless that was after `until`, or
        after the question was asked: questions that are asked together are answered by one reading.

        Args:
            partition: Its number.
            since: Unix seconds; none of the decisions that are looked for is older.
            until: Unix seconds by which it has been said, if at all.
            asked: `now()` as the question was asked, which may have waited; None for this moment.

        Raises:
            LogError: The topic does not exist, or cannot be read to its end.
            KafkaException: No broker answers.
        """
        asked = self.now() if asked is None else asked
        with self._lock:
            read = self._read.get(partition)
            if read is None or since < read.since:
                read = self._read[partition] = _Read(since - self.hold)
            if read.at <= min(until + SKEW, asked):
                self._follow(partition, read)
            read.since = max(read.since, since - self.hold)
            while read.times and read.times[old := next(iter(read.times))] < read.since - SKEW:
                del read.times[old]
                read.returned.discard(old)
            return Calls(read.times.keys() - read.returned, frozenset(read.returned))

    def _follow(self, partition: int, read: _Read) -> None:
        now, since = self._clock(), None if read.at else read.since - SKEW
        spans = self._logs.spans(self.topic, since)
        (span,) = [span for span in spans if span.partition == partition]
        for record in self._logs.read([span._replace(start=max(span.start, read.end))]):
            try:
                begun = decode(Start, record.value)
            except Invalid:
                continue
            read.times.pop(begun.decision_id, None)
            read.times[begun.decision_id] = record.timestamp / 1000
            (read.returned.add if begun.returned else read.returned.discard)(begun.decision_id)
        read.at, read.end = now, span.end
