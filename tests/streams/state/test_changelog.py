"""What a changelog says: rows and states of the rightful owners, decoded."""

from __future__ import annotations

import pytest

from schemas import Invalid, Receipt, Source
from schemas.wire import encode
from streams.state.changelog import Entry, decode_state, division, entries, last_states
from streams.state.fence import OWNER, claim_key
from streams.state.rows import STATE_KEY, Position, Row, State
from tests.support.records import Record

ROW = Row(
    receipt=Receipt(
        id="a",
        decision_id="queries-0-7",
        decision="deferred",
        reason="no_budget",
        decided_at=1.0,
        policy="test",
        source=Source("queries", 0, 7),
    )
)


def state(decided: int) -> State:
    return State(queries=Position(decided, decided))


def record(key: bytes | None, value: bytes | None, partition: int = 0, owner: str = "") -> Record:
    headers = {OWNER: owner.encode()} if owner else {}
    return Record("changelog", partition, 0, key, value, headers, 0.0)


LOG = [
    record(b"q7", encode(ROW)),
    record(STATE_KEY, encode(state(7))),
    record(STATE_KEY, encode(state(3)), partition=1),
    record(b"q7", None),
    record(None, b"no key"),
    record(b"other", b"no row"),
    record(claim_key(b"new"), b""),
    record(STATE_KEY, encode(state(8)), owner="new"),
    record(STATE_KEY, encode(state(9)), owner="old"),
]


def test_entries_are_what_owners_wrote() -> None:
    """States and rows, decoded and in order; removals, other keys and void records are left out."""
    assert list(entries(LOG)) == [
        Entry(0, "q7", ROW),
        Entry(0, "state", state(7)),
        Entry(1, "state", state(3)),
        Entry(0, "state", state(8)),
    ]


def test_the_last_state_of_each_partition() -> None:
    """By partition, what its owner wrote last."""
    assert last_states(LOG) == {0: state(8), 1: state(3)}


def test_a_state_that_is_none_is_refused() -> None:
    """A changelog that cannot be read is not passed over."""
    with pytest.raises(Invalid):
        decode_state(b"{")


def test_any_state_tells_among_how_many_the_limits_were_divided() -> None:
    """Older routers did not say; without a state nobody knows."""
    new = encode(State(partitions=3))
    assert division([record(b"q7", encode(ROW)), record(STATE_KEY, new)]) == 3
    assert division(LOG) == 0
    assert division([record(b"q7", encode(ROW))]) is None
