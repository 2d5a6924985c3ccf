"""What must hold of deadlines: each row comes due once, in time, and is forgotten once."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from streams.state.deadlines import LATE, Deadlines, DecisionRun
from streams.state.rows import Log, Row, row_key
from tests.support.recorded import receipt

SECONDS = 60.0


def keys(first: int, last: int) -> list[str]:
    return [row_key("queries", offset) for offset in range(first, last + 1)]


def loaded(*rows: Row, log: Log = "queries") -> list[tuple[str, Row]]:
    return [(row_key(log, row.receipt.source.offset), row) for row in rows]


def due(deadlines: Deadlines, now: float) -> list[str]:
    """Keys of what is due where no row is finished."""
    return list(deadlines.due(now, SECONDS, lambda key: Row(receipt=receipt(0))))


def test_a_chunk_is_due_at_its_deadline_and_not_before() -> None:
    """At the second itself, all rows of it, and no second time."""
    deadlines = Deadlines()
    deadlines.add(DecisionRun(1000.0, "queries", 3, 5))
    assert due(deadlines, math.nextafter(1060.0, 0)) == []
    assert due(deadlines, 1060.0) == keys(3, 5)
    assert due(deadlines, 2000.0) == []


def test_a_reservation_ends_when_its_row_says_so() -> None:
    """Workers were told so: a shorter `deadline_seconds` since then does not end it earlier."""
    row = Row(receipt=receipt(0), release_at=1500.0)
    for deadlines in (Deadlines(), Deadlines(loaded(row))):
        deadlines.add(DecisionRun(1000.0, "queries", 0, 0, 1500.0))
        assert due(deadlines, 1499.0) == []
        assert set(due(deadlines, 1500.0)) == set(keys(0, 0))


def test_what_was_due_is_forgotten_a_day_after_its_decision() -> None:
    """A late result is expected for LATE seconds; what is not yet due is never forgotten."""
    deadlines = Deadlines()
    deadlines.add(DecisionRun(1000.0, "queries", 0, 1))
    assert deadlines.forgotten(1000.0 + 2 * LATE) == []
    due(deadlines, 1060.0)
    assert deadlines.forgotten(math.nextafter(1000.0 + LATE, 0)) == []
    assert deadlines.forgotten(1000.0 + LATE) == keys(0, 1)
    assert deadlines.forgotten(1000.0 + 2 * LATE) == []


def test_of_what_is_finished_nothing_is_kept() -> None:
    """A run with an open row is kept whole; one without goes when it is due."""
    deadlines = Deadlines()
    deadlines.add(DecisionRun(1000.0, "queries", 0, 1))
    deadlines.add(DecisionRun(1001.0, "queries", 2, 3))
    rows = dict(loaded(Row(receipt=receipt(3))))
    assert deadlines.due(1061.0, SECONDS, rows.get) == rows
    assert deadlines.forgotten(1001.0 + LATE) == keys(2, 3)


@given(
    sizes=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), max_size=10),
    looks=st.lists(st.floats(0, 50), max_size=10),
)
def test_every_row_is_due_once_and_in_time(
    sizes: list[tuple[float, int]], looks: list[float]
) -> None:
    """Whenever it is looked: what is due is exactly what was decided long enough ago."""
    deadlines, moment, offset = Deadlines(), 1000.0, 0
    decided: list[tuple[float, str]] = []
    for wait, size in sizes:
        moment += wait
        deadlines.add(DecisionRun(moment, "queries", offset, offset + size - 1))
        decided += [(moment, key) for key in keys(offset, offset + size - 1)]
        offset += size
    taken: list[str] = []
    now = 1000.0
    for wait in looks:
        now += wait
        taken += due(deadlines, now)
        assert taken == [key for at, key in decided if at + SECONDS <= now]


def test_loaded_rows_go_on_where_they_were() -> None:
    """Rows that a partition is loaded with: open ones come due, expired ones are only forgotten."""
    rows = loaded(
        Row(receipt=receipt(7, at=1010.0)),
        Row(receipt=receipt(2, at=1000.0), expired=True),
        Row(receipt=receipt(5, at=1000.0)),
        Row(receipt=receipt(4, at=1000.0, model=None)),
    )
    deadlines = Deadlines(rows)
    assert due(deadlines, 1060.0) == keys(5, 5)
    assert deadlines.forgotten(1000.0 + LATE) == [*keys(2, 2), *keys(5, 5)]
    assert due(deadlines, 1070.0) == keys(7, 7)


def test_rows_of_both_logs_keep_apart() -> None:
    """Two logs decided at the same moment, with the same offsets, are two chunks."""
    waited = Row(receipt=receipt(1, log="deferred"))
    deadlines = Deadlines(loaded(Row(receipt=receipt(1))) + loaded(waited, log="deferred"))
    assert sorted(due(deadlines, 1060.0)) == [row_key("deferred", 1), row_key("queries", 1)]


def test_a_gap_of_finished_rows_is_within_the_chunk() -> None:
    """Rows of a chunk that are settled leave a gap; the others still come due."""
    deadlines = Deadlines(loaded(Row(receipt=receipt(1)), Row(receipt=receipt(4))))
    found = due(deadlines, 1060.0)
    assert {row_key("queries", 1), row_key("queries", 4)} <= set(found)
