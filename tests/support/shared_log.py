"""One partition of a changelog in memory: several processes write to it, and it is compacted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from streams.kafka.logs import Logs, Record, Span
from streams.kafka.producer import Batch, Headers, Outbox

LOG = "changelog"


class SharedLog:
    """Takes records as a broker does: whoever sends them, each at the next offset.

    before: called before each record of a batch is taken, so that others write in between.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.end = 0
        self.before: Callable[[], None] = lambda: None

    def append(self, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        """Take one record; return its offset."""
        self.records.append(Record(LOG, 0, self.end, 0, key, value, headers))
        self.end += 1
        return self.end - 1

    def compact(self, until: int, removed: int) -> None:
        """Of the records before offset `until`, keep the last of each key; of removals only those
        from offset `removed` on, which somebody may still have to read."""
        last = {record.key: record.offset for record in self.records if record.offset < until}
        self.records = [
            record
            for record in self.records
            if record.offset >= until
            or (
                last[record.key] == record.offset
                and (record.value is not None or record.offset >= removed)
            )
        ]

    def outbox(self) -> Outbox:
        """What a process sends with."""
        return cast(Outbox, _Outbox(self))

    def logs(self) -> Logs:
        """What a process reads with."""
        return cast(Logs, self)

    def spans(self, topic: str) -> list[Span]:
        """As `Logs.spans`."""
        return [Span(topic, 0, 0, self.end)]

    def read(self, spans: Iterable[Span]) -> Iterator[Record]:
        """As `Logs.read`."""
        for span in spans:
            yield from [one for one in self.records if span.start <= one.offset < span.end]


class _Outbox:
    def __init__(self, log: SharedLog) -> None:
        self._log = log

    def batch(self) -> Batch:
        return _Batch(self._log)


class _Batch(Batch):
    def __init__(self, log: SharedLog) -> None:
        self._log = log
        self._records: list[tuple[Any, ...]] = []

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: Headers = (),
    ) -> None:
        self._records.append((key, value, headers))

    async def delivered(self) -> int:
        last = -1
        for record in self._records:
            self._log.before()
            last = self._log.append(*record)
        return last
