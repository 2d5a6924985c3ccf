"""Reading a partition's rows from its store: only those that a state record covers are valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from schemas.wire import decode
from streams.state.changelog import decode_state
from streams.state.recent_ids import BLOCK_ROWS, IdRow
from streams.state.rows import (
    FAILOVER_PREFIX,
    ID_BLOCK_PREFIX,
    ID_ROW_PREFIX,
    ROW_PREFIXES,
    STATE_KEY,
    Log,
    Position,
    Row,
    RowHead,
    State,
    row_head,
    row_position,
)
from streams.state.store import PartitionStore


def load_state(store: PartitionStore, number: int) -> State | None:
    """Return a partition's last state record, or None before its first commit."""
    found = store.read(number, STATE_KEY)
    return None if found is None else decode_state(found)


class OpenRows:
    """The rows of decisions that are not finished."""

    def __init__(
        self,
        store: PartitionStore,
        number: int,
        positions: Mapping[Log, Position],
        half_removed: frozenset[str],
        sequence: int = 0,
    ) -> None:
        """Args:
        store: Holds the rows.
        number: The partition's number.
        positions: By log; rows beyond `decided` belong to no commit.
        half_removed: Keys that the last state record has ended, but whose removal a kill may have
            cut off.
        sequence: Of the last state record; marks of later commits do not count.
        """
        self._store = store
        self._number = number
        self._positions = positions
        self.half_removed = half_removed
        self._sequence = sequence
        self.half_marked: set[str] = set()
        """Keys of rows that a commit has marked whose state record a kill has cut off."""

    def get(self, key: str) -> Row | None:
        """Return the open row of a decided record, or None where it is finished."""
        if not self._is_open(key):
            return None
        data = self._store.read(self._number, key.encode())
        if data is None:
            return None
        row = decode(Row, data)
        return row.unmarked() if key in self.half_marked else row

    def heads(self) -> Iterator[tuple[str, RowHead]]:
        """Yield the key and the head of every open row, and find those that are half marked.

        To be read to its end once, before any row is.
        """
        for prefix in ROW_PREFIXES:
            for key, value in self._store.scan(self._number, prefix):
                if not self._is_open(name := key.decode()):
                    continue
                head = row_head(value)
                if head.marked > self._sequence:
                    self.half_marked.add(name)
                    head = replace(head, expired=False, held=False)
                yield name, head

    def failovers(self) -> Iterator[tuple[str, Row]]:
        """Yield the key and the row of each query that is to be decided again.

        One whose failed decision is still open is of a commit that a kill has cut off, unless that
        decision's query has been returned.
        """
        for key, value in self._store.scan(self._number, FAILOVER_PREFIX):
            name = key.decode()
            if name not in self.half_removed and self._has_ended(name[1:]):
                yield name, decode(Row, value)

    def undone(self) -> tuple[dict[str, Row], list[str]]:
        """Return what the next commit must write again, or what was cut off would count from then
        on: the half-marked rows as they were, and the keys of failovers of queries not ended.
        """
        rows = {key: row for key in sorted(self.half_marked) if (row := self.get(key)) is not None}
        found = (key.decode() for key, _ in self._store.scan(self._number, FAILOVER_PREFIX))
        return rows, [name for name in found if not self._has_ended(name[1:])]

    def id_rows(self) -> dict[int, IdRow]:
        """Return the rows of recent ids by number; those of older routers, which stay where they
        are, count until a newer one is written of the same ids."""
        found: dict[int, IdRow] = {}
        for key, value in self._store.scan(self._number, ID_BLOCK_PREFIX):
            first = int(key.removeprefix(ID_BLOCK_PREFIX)) * BLOCK_ROWS
            found.update(enumerate(decode(IdRow, value).cut(), start=first))
        for key, value in self._store.scan(self._number, ID_ROW_PREFIX):
            number, row = int(key.removeprefix(ID_ROW_PREFIX)), decode(IdRow, value)
            if number not in found or row.end >= found[number].end:
                found[number] = row
        return found

    def repaired(self) -> None:
        """Record that a commit has written again what a kill had left half done."""
        self.half_removed = frozenset()
        self.half_marked = set()

    def _has_ended(self, key: str) -> bool:
        """Return whether a decision has ended in such a way that its query is decided again."""
        row = self.get(key)
        return row is None or row.returned

    def _is_open(self, key: str) -> bool:
        log, offset = row_position(key)
        return key not in self.half_removed and offset <= self._positions[log].decided
