"""Fetch requests and answers are the bytes and values that aiokafka's own code makes of them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from aiokafka.protocol.struct import Struct
from hypothesis import given
from hypothesis import strategies as st

from streams.ingest.fetch_protocol import decode, encode, install

INT16, INT32 = st.integers(-(2**15), 2**15 - 1), st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
REQUESTS = st.builds(
    FetchRequest,
    INT32,
    INT32,
    INT32,
    st.integers(0, 1),
    st.lists(st.tuples(NAMES, st.lists(st.tuples(INT32, INT64, INT32), max_size=4)), max_size=4),
    NAMES,
)
PARTITIONS = st.tuples(
    INT32,
    INT16,
    INT64,
    INT64,
    INT64,
    st.none() | st.lists(st.tuples(INT64, INT64), max_size=3),
    INT32,
    st.none() | st.binary(max_size=40),
)
ANSWERS = st.builds(
    FetchResponse_v11,
    INT32,
    INT16,
    INT32,
    st.lists(st.tuples(NAMES, st.lists(PARTITIONS, max_size=4)), max_size=4),
)


def fields(message: Any) -> dict[str, Any]:
    return dict(vars(message))


@given(REQUESTS)
def test_a_request_has_aiokafka_s_bytes(asked: FetchRequest) -> None:
    """Of any topics, partitions and offsets."""
    request = asked.build(FetchRequest_v11)
    assert encode(request) == Struct.encode(request)


@given(ANSWERS, st.booleans())
def test_an_answer_has_aiokafka_s_values(answer: Any, as_bytes: bool) -> None:
    """Of any partitions, and from where the reader stands behind the header."""
    data = Struct.encode(answer)
    theirs = Struct.decode.__func__(FetchResponse_v11, BytesIO(data))
    given: Any = BytesIO(b"head" + data)
    given.seek(4)
    assert fields(decode(data if as_bytes else given)) == fields(theirs)


@given(ANSWERS, st.data())
def test_an_answer_cut_short_is_an_error(answer: Any, data: st.DataObject) -> None:
    """Wherever it is cut: aiokafka then closes the connection, and fetches again."""
    whole = Struct.encode(answer)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="cut short"):
        decode(whole[:cut])


def test_it_is_what_aiokafka_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection encodes the request by its method, and reads the answer by its type's."""
    monkeypatch.setattr(FetchRequest_v11, "encode", FetchRequest_v11.encode)
    monkeypatch.setattr(FetchResponse_v11, "decode", FetchResponse_v11.decode)
    install()
    request = FetchRequest(1, 2, 3, 1, [("t", [(0, 5, 6)])]).build(FetchRequest_v11)
    answer = FetchResponse_v11(0, 0, 0, [("t", [(0, 0, 1, 1, 0, None, -1, b"r")])])
    assert request.encode() == encode(request)
    assert request.RESPONSE_TYPE is FetchResponse_v11
    assert fields(request.RESPONSE_TYPE.decode(BytesIO(answer.encode()))) == fields(answer)
