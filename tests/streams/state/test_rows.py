"""What a partition keeps in its changelog is read back as it was written."""

from __future__ import annotations

import msgspec
import pytest

from schemas import Invalid
from schemas.wire import decode, encode
from streams.kafka.topics import Log
from streams.state.rows import (
    ID_ROW_PREFIX,
    ROW_PREFIXES,
    STATE_KEY,
    Position,
    Refusal,
    Row,
    State,
    id_row_key,
    row_head,
    row_key,
    row_position,
)
from tests.support.recorded import receipt


@pytest.mark.parametrize("log", ["queries", "deferred"])
def test_keys_of_rows_name_their_record(log: Log) -> None:
    """Log and offset come back from the key."""
    assert row_position(row_key(log, 2**40)) == (log, 2**40)
    assert row_key(log, 0).encode()[:1] in ROW_PREFIXES


def test_keys_are_ordered_as_offsets_are() -> None:
    """Stores that sort by bytes give the rows of a log in its order."""
    offsets = [0, 9, 10, 99, 100, 2**53]
    keys = [row_key("queries", offset) for offset in offsets]
    assert sorted(keys) == keys


def test_no_two_kinds_share_a_key() -> None:
    """State, recent ids and rows stand side by side."""
    assert not STATE_KEY.startswith(ID_ROW_PREFIX)
    assert id_row_key(7).startswith(ID_ROW_PREFIX)
    assert {STATE_KEY[:1], id_row_key(7)[:1]}.isdisjoint(ROW_PREFIXES)


def test_a_refusal_keeps_the_error_s_words() -> None:
    """What is published after a crash is what was found before it."""
    error = Invalid("invalid_field", "a: found nothing, it is required", "a")
    again = decode(Refusal, encode(Refusal.of(error))).error()
    assert (again.code, again.reason, again.field) == (error.code, error.reason, error.field)


def test_the_head_of_a_row() -> None:
    """Deadlines are read without the rest of the row."""
    row = Row(receipt=receipt(7), expired=True)
    head = row_head(encode(row))
    assert (head.receipt.decision, head.receipt.decided_at, head.expired) == (
        row.receipt.decision,
        row.receipt.decided_at,
        True,
    )
    with pytest.raises(msgspec.ValidationError):
        row_head(b"[]")


def test_a_state_is_read_as_it_was_written() -> None:
    """With defaults off the wire, and with every position."""
    state = State(queries=Position(7, 5), retried={"deferred": 3}, sequence=2, removed=["q1"])
    assert decode(State, encode(state)) == state
    assert decode(State, b"{}") == State()
