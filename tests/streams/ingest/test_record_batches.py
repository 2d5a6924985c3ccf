"""Records with header names that are not UTF-8 are read like all others."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, memory_records
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.ingest.record_batches import FetchedRecords, install

TP = TopicPartition("t", 0)
CODECS = [0, 1]
"""Not compressed, and gzip."""
HEAD = 61
"""Bytes of a batch before its first record."""


class Name(str):
    """A name that is encoded to bytes that are no text."""

    def encode(self, *_: Any) -> bytes:
        return b"\xff" + str.encode(self)


def batch(first: int, names: list[str], codec: int = 0) -> bytes:
    """A batch of one record a name, from an offset on."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, False, -1, -1, -1, 1 << 20)
    for number, name in enumerate(names):
        builder.append(number, 1000, b"k%d" % number, b"v%d" % number, [(name, b"h")])
    data = bytearray(builder.build())
    data[0:8] = first.to_bytes(8, "big")
    return bytes(data)


def read(data: bytes, first: int = 0) -> list[Any]:
    """The records as a consumer has them: its own code, with the batches of this module."""
    records = fetcher.PartitionRecords(TP, FetchedRecords(data), [], first, None, None, True, 1)
    return list(records)


@pytest.mark.parametrize("codec", CODECS)
def test_names_that_are_no_text(codec: int) -> None:
    """Their records come in order, whole, with a readable name."""
    data = batch(0, ["a", "b"], codec) + batch(2, ["c", Name("d"), "e", Name("f")], codec)
    found = read(data + batch(6, ["g"], codec))
    assert [record.offset for record in found] == list(range(7))
    assert [record.value for record in found[2:6]] == [b"v0", b"v1", b"v2", b"v3"]
    assert [record.headers for record in found] == [
        ((name, b"h"),) for name in ("a", "b", "c", "\ufffdd", "e", "\ufffdf", "g")
    ]


@given(st.lists(st.tuples(st.booleans(), st.text("abc", max_size=3)), min_size=1, max_size=8),
       st.sampled_from(CODECS), st.integers(0, 8))  # fmt: skip
def test_all_others_are_read_as_ever(names: list[tuple[bool, str]], codec: int, first: int) -> None:
    """As aiokafka reads them, from any offset on."""
    data = batch(0, [name for _, name in names], codec)
    plain = fetcher.PartitionRecords(TP, original(data), [], first, None, None, True, 1)
    assert read(data, first) == list(plain)
    bad = batch(0, [Name(name) if is_bad else name for is_bad, name in names], codec)
    assert [record.key for record in read(bad, first)] == [
        record.key for record in read(data, first)
    ]


def original(data: bytes) -> Any:
    from aiokafka.record.memory_records import MemoryRecords

    return MemoryRecords(data)


@pytest.mark.parametrize("name", ["DefaultRecordBatch", "_DefaultRecordBatchPy"])
def test_with_and_without_extensions(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """aiokafka's own parts give up on such a name in two ways; what is corrupt stays an error."""
    kind = getattr(default_records, name)
    monkeypatch.setattr(memory_records, "DefaultRecordBatch", kind)
    data = batch(0, ["a", Name("b"), "c"])
    assert [record.offset for record in read(data)] == [0, 1, 2]
    corrupt = bytearray(data)
    corrupt[HEAD] += 2  # the length of the first record
    fetched = FetchedRecords(bytes(corrupt))
    records = fetcher.PartitionRecords(TP, fetched, [], 0, None, None, False, 1)
    with pytest.raises(CorruptRecordException):
        list(records)


def test_consumers_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka's fetcher looks the class up by this name."""
    monkeypatch.setattr(fetcher, "MemoryRecords", None)
    install()
    assert fetcher.MemoryRecords is FetchedRecords
    assert "MemoryRecords" in fetcher.Fetcher._proc_fetch_request.__code__.co_names
