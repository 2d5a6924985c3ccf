"""What must hold of open rows: what a state record covers is read, and not what it ended."""

from __future__ import annotations

import base64

from schemas.wire import encode
from streams.state.open_rows import OpenRows, load_state
from streams.state.recent_ids import BLOCK, BLOCK_ROWS, ROW_IDS, IdRow
from streams.state.rows import (
    ID_BLOCK_PREFIX,
    STATE_KEY,
    Log,
    Position,
    Row,
    State,
    failover_key,
    id_row_key,
    row_key,
)
from streams.state.store import MemoryStore
from tests.support.recorded import receipt

POSITIONS: dict[Log, Position] = {"queries": Position(decided=2), "deferred": Position()}


def filled(store: MemoryStore) -> MemoryStore:
    """Rows 0 to 3 of `queries` and 0 of `deferred`, a row of ids, and a state."""
    rows: dict[bytes, bytes | None] = {
        row_key("queries", offset).encode(): encode(Row(receipt=receipt(offset)))
        for offset in range(4)
    }
    rows[row_key("deferred", 0).encode()] = encode(Row(receipt=receipt(0, log="deferred")))
    rows[id_row_key(1)] = encode(IdRow(3, "aGFzaA=="))
    rows[STATE_KEY] = encode(State(settled=5))
    store.write(0, rows, 9)
    return store


def test_only_committed_rows_are_open(store: MemoryStore) -> None:
    """Beyond the position of their log they belong to a chunk whose commit was cut off."""
    rows = OpenRows(filled(store), 0, POSITIONS, frozenset())
    assert rows.get(row_key("queries", 2)) == Row(receipt=receipt(2))
    assert rows.get(row_key("queries", 3)) is None
    assert rows.get(row_key("deferred", 0)) is None
    assert sorted(key for key, _ in rows.heads()) == [row_key("queries", i) for i in range(3)]
    assert rows.id_rows() == {1: IdRow(3, "aGFzaA==")}


def test_id_blocks_of_older_routers_count_until_newer_rows_are_written(store: MemoryStore) -> None:
    """Each holds the ids of BLOCK_ROWS rows; the one with the later end counts."""
    ids = base64.b64encode(bytes(8 * BLOCK)).decode()
    rows: dict[bytes, bytes | None] = {
        ID_BLOCK_PREFIX + b"%06d" % 1: encode(IdRow(7, ids, ids)),
        id_row_key(BLOCK_ROWS): encode(IdRow(7, "bmV3")),
        id_row_key(BLOCK_ROWS + 1): encode(IdRow(6, "b2xk")),
    }
    store.write(0, rows, 9)
    found = OpenRows(store, 0, POSITIONS, frozenset()).id_rows()
    assert sorted(found) == list(range(BLOCK_ROWS, 2 * BLOCK_ROWS))
    assert found[BLOCK_ROWS] == IdRow(7, "bmV3")
    assert {row.end for row in found.values()} == {7}
    assert {len(base64.b64decode(row.hashes)) for row in found.values()} == {3, 8 * ROW_IDS}


def test_half_removed_rows_are_finished(store: MemoryStore) -> None:
    """A state record has ended them, whatever the store still holds."""
    rows = OpenRows(filled(store), 0, POSITIONS, frozenset({row_key("queries", 1)}))
    assert rows.get(row_key("queries", 1)) is None
    assert row_key("queries", 1) not in dict(rows.heads())
    rows.repaired()
    assert rows.half_removed == frozenset()


def test_the_last_state_is_loaded(store: MemoryStore) -> None:
    """Of one partition; None before its first commit."""
    assert load_state(filled(store), 0) == State(settled=5)
    assert load_state(store, 1) is None


def test_marks_without_their_state_do_not_count(store: MemoryStore) -> None:
    """A kill has cut off the commit that ended a deadline: the row is as it was, and to be written
    so before other states come; marks of older routers name no commit, and count."""
    rows = {
        row_key("queries", offset).encode(): encode(
            Row(receipt=receipt(offset), expired=True, marked=marked)
        )
        for offset, marked in enumerate((0, 4, 5))
    }
    rows[failover_key(row_key("queries", 2)).encode()] = encode(Row(receipt=receipt(2)))
    store.write(0, rows, 9)
    found = OpenRows(store, 0, POSITIONS, frozenset(), sequence=4)
    assert [head.expired for _, head in sorted(found.heads())] == [True, True, False]
    key = row_key("queries", 2)
    assert found.get(key) == Row(receipt=receipt(2))
    assert found.undone() == ({key: Row(receipt=receipt(2))}, [failover_key(key)])
