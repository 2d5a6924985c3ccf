"""Reading a partition's rows from its store: only those that a state record covers are valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from schemas.wire import decode
from streams.state.changelog import decode_state
from streams.state.recent_ids import Slot
from streams.state.rows import (
    FAILOVER_PREFIX,
    ROW_PREFIXES,
    SLOT_PREFIX,
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
    ) -> None:
        """Args:
        store: Holds the rows.
        number: The partition's number.
        positions: By log; rows beyond `decided` belong to no commit.
        half_removed: Keys that the last state record has ended, but whose removal a kill may have
            cut off.
        """
        self._store = store
        self._number = number
        self._positions = positions
        self.half_removed = half_removed

    def get(self, key: str) -> Row | None:
        """Return the open row of a decided record, or None where it is finished."""
        if not self._is_open(key):
            return None
        data = self._store.read(self._number, key.encode())
        return None if data is None else decode(Row, data)

    def heads(self) -> Iterator[tuple[str, RowHead]]:
        """Yield the key and the head of every open row."""
        for prefix in ROW_PREFIXES:
            for key, value in self._store.scan(self._number, prefix):
                if self._is_open(name := key.decode()):
                    yield name, row_head(value)

    def failovers(self) -> Iterator[tuple[str, Row]]:
        """Yield the key and the row of each query that is to be decided again.

        One whose failed decision is still open is of a commit that a kill has cut off, unless that
        decision's query has been returned.
        """
        for key, value in self._store.scan(self._number, FAILOVER_PREFIX):
            name = key.decode()
            ended = self.get(name[1:])
            if name not in self.half_removed and (ended is None or ended.returned):
                yield name, decode(Row, value)

    def slots(self) -> dict[int, Slot]:
        """Return the rows of recent ids by slot number."""
        return {
            int(key.removeprefix(SLOT_PREFIX)): decode(Slot, value)
            for key, value in self._store.scan(self._number, SLOT_PREFIX)
        }

    def removals_written(self) -> None:
        """Record that a commit has repeated the removal of the half-removed rows."""
        self.half_removed = frozenset()

    def _is_open(self, key: str) -> bool:
        log, offset = row_position(key)
        return key not in self.half_removed and offset <= self._positions[log].decided
