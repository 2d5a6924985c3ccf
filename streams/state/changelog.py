"""Reads what partitions have kept in their changelog: states and rows, of rightful owners only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from schemas.wire import decode
from streams.kafka.records import PartitionRecord
from streams.state.fence import rightful
from streams.state.rows import ROW_PREFIXES, STATE_BYTES, STATE_KEY, Row, State


class Entry(NamedTuple):
    """A record of the changelog, decoded. key: the row's, or `STATE_KEY` as text."""

    partition: int
    key: str
    value: State | Row


def entries(changelog: Iterable[PartitionRecord]) -> Iterator[Entry]:
    """Yield every state and row that counts, in the log's order; removals are left out.

    changelog: any number of partitions, each in order and from its beginning.
    """
    for record in rightful(changelog):
        if record.key is None or not record.value:
            continue
        if record.key == STATE_KEY:
            yield Entry(record.partition, record.key.decode(), decode_state(record.value))
        elif record.key[:1] in ROW_PREFIXES:
            yield Entry(record.partition, record.key.decode(), decode(Row, record.value))


def last_states(changelog: Iterable[PartitionRecord]) -> dict[int, State]:
    """The last state of each partition that has one."""
    last = {
        record.partition: record.value
        for record in rightful(changelog)
        if record.key == STATE_KEY and record.value
    }
    return {partition: decode_state(value) for partition, value in last.items()}


def division(changelog: Iterable[PartitionRecord]) -> int | None:
    """Return among how many partitions the limits were divided at first, as any state says.

    Returns:
        0 where an older router wrote the state, which did not say; None where there is no state.
    """
    for entry in entries(changelog):
        if isinstance(entry.value, State):
            return entry.value.partitions
    return None


def decode_state(value: bytes) -> State:
    """Read a state record, which may be longer than a message. Raises Invalid."""
    return decode(State, value, STATE_BYTES)
