"""The trace context of the work at hand: what messages and requests made during it carry."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from streams.kafka.carried import TRACE
from streams.kafka.producer import Headers
from streams.kafka.trace import PARENT

_carried: ContextVar[Headers | None] = ContextVar("trace", default=None)
_STATE = re.compile(rb"[\x20-\x7e]{1,512}")


@contextmanager
def carrying(headers: Headers) -> Iterator[None]:
    """Have what is sent meanwhile carry the trace headers of `headers`."""
    token = _carried.set(trace_only(headers))
    try:
        yield
    finally:
        _carried.reset(token)


def current() -> Headers:
    """Return the trace headers of the work at hand; none where it has no trace.

    In a program that has loaded OpenTelemetry itself, its current span counts.
    """
    if (carried := _carried.get()) is not None:
        return carried
    if "opentelemetry.trace" not in sys.modules:
        return []
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return of_http(carrier)


def trace_only(headers: Iterable[tuple[str, bytes]] | None) -> Headers:
    """Return the trace headers among others."""
    return [(name, value) for name, value in headers or () if name in TRACE]


def of_http(headers: Mapping[str, str]) -> Headers:
    """Return the trace headers of an HTTP request, for a record; none that are malformed."""
    found = ((name, headers.get(name)) for name in TRACE)
    return _well_formed((name, value.encode()) for name, value in found if value)


def for_http(headers: Headers) -> dict[str, str]:
    """Return a record's trace headers for an HTTP request; none that are malformed."""
    return {name: value.decode() for name, value in _well_formed(headers)}


def _well_formed(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """Return the trace headers, without what no HTTP header may hold."""
    values = dict(headers)
    parent = PARENT.fullmatch(values.get("traceparent") or b"")
    if parent is None:
        return []
    kept = [("traceparent", parent[0])]
    if _STATE.fullmatch(state := values.get("tracestate") or b""):
        kept.append(("tracestate", state))
    return kept
