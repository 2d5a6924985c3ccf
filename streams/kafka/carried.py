"""What of a record's key and headers is passed on with the messages that are made of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from streams.kafka.producer import Headers

logger = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
"""Of a key, or of all headers together; with a value they stay below `topics.LARGEST_MESSAGE`."""
TRACE = ("traceparent", "tracestate")
"""The W3C trace headers, which every message about a query carries."""


def headers_of(message: Any) -> Headers:
    """Return the headers of a record of librdkafka's to pass on; none where a name is no text."""
    try:
        return carried_headers(message.headers())
    except (SystemError, UnicodeDecodeError):  # how confluent-kafka says that one is not UTF-8
        logger.warning("a record's headers are not passed on: a name is not UTF-8")
        return []


def carried_headers(headers: Iterable[tuple[str, bytes]] | None) -> Headers:
    """Return the headers to pass on: all, or the router's and the trace's where they are too long.

    A message that the broker refuses for its size would come again and again.
    """
    kept = list(headers or ())
    if sum(len(name) + len(value or b"") for name, value in kept) <= MOST_BYTES:
        return kept
    own = [each for each in kept if each[0] in TRACE or each[0].startswith("sluice-")]
    short = sum(len(value or b"") for _, value in own) <= MOST_BYTES
    return own if short else []


def carried_key(key: bytes | None) -> bytes | None:
    """Return the key to pass on: none where it is too long."""
    return None if key is not None and len(key) > MOST_BYTES else key
