"""What must hold of record types: what the clients hand over is such a record."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from streams.kafka.logs import Record
from streams.kafka.records import ConsumedRecord


def described(record: ConsumedRecord) -> tuple[object, ...]:
    """Every field; the type checker holds `Record` against the protocol here."""
    return (
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        list(record.headers or ()),
    )


def test_records_of_both_clients_are_alike() -> None:
    """aiokafka's, which Faust hands over, and those that are read from a log."""
    fetched = ConsumerRecord(
        topic="queries",
        partition=1,
        offset=7,
        timestamp=1_000,
        timestamp_type=0,
        key=b"k",
        value=b"v",
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
        headers=(("a", b"1"),),
    )
    read = Record("queries", 1, 7, 1_000, b"k", b"v", [("a", b"1")])
    assert described(fetched) == described(read)
