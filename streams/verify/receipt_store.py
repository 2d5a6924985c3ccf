"""Receipts in the order of the records that they decide.

Receipts are keyed by query, so those of one query partition lie scattered over the topic's
partitions, some of them twice (after a crash they leave again). They are put in order in a
temporary SQLite file: the memory used does not grow with the log.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from schemas import Invalid, Receipt
from schemas.wire import decode
from streams.kafka.logs import Record
from streams.kafka.topics import Topics
from streams.state.decision_ids import parse_decision_id
from streams.state.rows import Log

BLOCK = 1000


class ReceiptStore:
    """Receipts on disk while the context is open. `refused` are sentences on what was none."""

    def __init__(self, topics: Topics) -> None:
        self._logs = topics.logs
        self._folder = TemporaryDirectory(prefix="sluice-receipts-")
        self._base = sqlite3.connect(Path(self._folder.name) / "receipts.sqlite")
        self._base.executescript(
            """
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            CREATE TABLE receipt (
                partition INTEGER, log TEXT, offset INTEGER, results INTEGER, decided REAL,
                value BLOB, PRIMARY KEY (partition, log, offset)
            ) WITHOUT ROWID;
            """
        )
        self.refused: list[tuple[int, str, str]] = []
        """(query partition or -1, decision id, what is wrong)."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.close()
        self._folder.cleanup()

    def fill(self, records: Iterable[Record]) -> None:
        """Take in the records of the topic `receipts`. The first receipt of a decision counts;
        one that differs from it is refused."""
        for record in records:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            try:
                receipt = decode(Receipt, record.value)
            except Invalid as error:
                self.refused.append((-1, place, f"is no receipt: {error.reason}"))
                continue
            source = receipt.source
            if source.topic not in self._logs:
                words = f"names a record of {source.topic!r}, whose records nobody decides"
            elif not self.put(receipt, record.value or b""):
                words = f"another receipt for the same record lies at {place}"
            else:
                continue
            self.refused.append((source.partition, receipt.decision_id, words))

    def put(self, receipt: Receipt, value: bytes) -> bool:
        """Take in one receipt. Returns whether it is the first for its record, or the same again.

        Raises KeyError where its record is of a topic whose records nobody decides.
        """
        source = receipt.source
        key = (source.partition, self._logs[source.topic], source.offset)
        more = (receipt.results_offset, receipt.decided_at, value)
        added = self._base.execute(
            "INSERT OR IGNORE INTO receipt VALUES (?, ?, ?, ?, ?, ?)", (*key, *more)
        )
        return added.rowcount > 0 or self._value(key) == value

    def of_log(self, partition: int, log: Log) -> Iterator[Receipt]:
        """The receipts on one log of a query partition, by offset."""
        for (value,) in self._select(
            "SELECT value FROM receipt WHERE partition = ? AND log = ? ORDER BY offset",
            (partition, log),
        ):
            yield decode(Receipt, value)

    def of_partition(self, partition: int) -> Iterator[tuple[Receipt, bytes]]:
        """The receipts of a query partition and their bytes, in the order of the decisions.

        Each log in its own order; between the two, results folded before never fall, and come
        before the time: the clocks of two machines may differ.
        """
        both = [
            self._select(
                "SELECT value, results, decided FROM receipt "
                "WHERE partition = ? AND log = ? ORDER BY offset",
                (partition, log),
            )
            for log in self._logs.values()
        ]
        for value, *_ in heapq.merge(*both, key=lambda row: row[1:]):
            yield decode(Receipt, value), value

    def get(self, partition: int, log: Log, offset: int) -> Receipt | None:
        """The receipt of one record, None where there is none."""
        value = self._value((partition, log, offset))
        return None if value is None else decode(Receipt, value)

    def of_decision(self, decision_id: str) -> Receipt | None:
        """The receipt of a decision, None where there is none."""
        source = parse_decision_id(decision_id)
        log = None if source is None else self._logs.get(source.topic)
        if source is None or log is None:
            return None
        return self.get(source.partition, log, source.offset)

    def last(self, partition: int, log: Log) -> int:
        """The highest offset of a log that has a receipt, -1 where none has."""
        found = self._base.execute(
            "SELECT max(offset) FROM receipt WHERE partition = ? AND log = ?", (partition, log)
        )
        last: int | None = found.fetchone()[0]
        return -1 if last is None else last

    def _value(self, key: tuple[int, str, int]) -> bytes | None:
        found = self._base.execute(
            "SELECT value FROM receipt WHERE partition = ? AND log = ? AND offset = ?", key
        )
        row: tuple[bytes] | None = found.fetchone()
        return None if row is None else row[0]

    def _select(self, query: str, values: tuple[object, ...]) -> Iterator[Any]:
        with closing(self._base.cursor()) as cursor:
            cursor.execute(query, values)
            while rows := cursor.fetchmany(BLOCK):
                yield from rows
