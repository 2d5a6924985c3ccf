"""Writes fetch requests and reads their answers, each in one pass.

aiokafka composes every field of every partition by a call of its own: a router's fetch names a
dozen partitions, most of them empty, and there are hundreds of fetches a second. Other versions
of the protocol than the one that aiokafka and today's brokers agree on are left to aiokafka.
"""

from __future__ import annotations

from io import BytesIO
from struct import Struct
from struct import error as StructError
from typing import Any

from aiokafka.protocol.fetch import FetchRequest_v11, FetchResponse_v11

_REQUEST = Struct(">iiiibii")  # replica, wait, least and most bytes, isolation, session, epoch
_ASKED = Struct(">iiqqi")  # partition, leader epoch, offset, log start, most bytes
_ANSWER = Struct(">ihii")  # throttle, error, session, number of topics
_PARTITION = Struct(">ihqqqi")  # partition, error, high watermark, stable, start, aborted
_ABORTED = Struct(">qq")  # producer, first offset
_RECORDS = Struct(">ii")  # preferred replica, bytes of records
_LENGTH = Struct(">h")
_COUNT = Struct(">i")


def encode(request: Any) -> bytes:
    """Return the bytes of a fetch request, version 11."""
    parts = [
        _REQUEST.pack(
            request.replica_id,
            request.max_wait_time,
            request.min_bytes,
            request.max_bytes,
            request.isolation_level,
            request.session_id,
            request.session_epoch,
        ),
        _COUNT.pack(len(request.topics)),
    ]
    for topic, partitions in request.topics:
        parts += _string(topic), _COUNT.pack(len(partitions))
        parts += [_ASKED.pack(*partition) for partition in partitions]
    parts.append(_COUNT.pack(len(request.forgotten_topics_data)))
    for topic, numbers in request.forgotten_topics_data:
        parts += _string(topic), _COUNT.pack(len(numbers))
        parts += [_COUNT.pack(number) for number in numbers]
    parts.append(_string(request.rack_id))
    return b"".join(parts)


def decode(data: BytesIO | bytes) -> Any:
    """Read the answer to a fetch request of version 11. Raises ValueError for one cut short."""
    try:
        return _decode(data if isinstance(data, bytes) else data.read())
    except StructError as error:
        raise ValueError(f"an answer to a fetch is cut short: {error}") from error


def install() -> None:
    """Have every aiokafka consumer of this process do so."""
    request: Any = FetchRequest_v11
    response: Any = FetchResponse_v11
    request.encode, response.decode = encode, staticmethod(decode)


def _string(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data)) + data


def _decode(data: bytes) -> Any:
    throttle, error, session, count = _ANSWER.unpack_from(data)
    position, topics = _ANSWER.size, []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        name = _slice(data, position, length).decode()
        (number,) = _COUNT.unpack_from(data, position + length)
        position += length + _COUNT.size
        partitions = []
        for _ in range(number):
            partition, position = _partition(data, position)
            partitions.append(partition)
        topics.append((name, partitions))
    return FetchResponse_v11(throttle, error, session, topics)


def _partition(data: bytes, position: int) -> tuple[tuple[Any, ...], int]:
    """Read what begins at a position; returns it and where it ends."""
    *known, count = _PARTITION.unpack_from(data, position)
    position += _PARTITION.size
    aborted: list[Any] | None = None if count < 0 else []
    for _ in range(count):
        assert aborted is not None  # there is none below 0
        aborted.append(_ABORTED.unpack_from(data, position))
        position += _ABORTED.size
    replica, length = _RECORDS.unpack_from(data, position)
    position += _RECORDS.size
    records = None if length < 0 else _slice(data, position, length)
    return (*known, aborted, replica, records), position + max(length, 0)


def _slice(data: bytes, position: int, length: int) -> bytes:
    found = data[position : position + length]
    if len(found) != length:
        raise ValueError(f"an answer to a fetch is cut short: {len(found)} of {length} bytes")
    return found
