"""What traces are made with. OpenTelemetry makes them where it is configured; else nothing does.

There is one tracer a process, as there is one logging: `tracer()`. The one it begins with makes no
spans and costs a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from streams.kafka.producer import Headers

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | bool | int | float | list[str]
Attributes = Mapping[str, Value | None]
"""By name; None for what is not known, which is left out."""


class Span:
    """A span that nobody records: it passes on the context that came."""

    __slots__ = ()

    def carried(self, headers: Headers) -> Headers:
        """Return headers with this span's context in the place of the one they have.

        Args:
            headers: Of the message that the span is about.
        """
        return headers

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""

    def fail(self, kind: str, words: str = "") -> None:
        """Mark the span as failed.

        Args:
            kind: A short code (`error.type`).
            words: For people.
        """

    def step(self, name: str, began: float, ended: float) -> None:
        """Add a child that is over. began, ended: Unix seconds."""

    def end(self, at: float | None = None) -> None:
        """End the span. at: Unix seconds; None for now."""


class Tracer:
    """Makes spans that nobody records."""

    is_on: bool = False

    def start(
        self,
        name: str,
        kind: Kind,
        parent: Headers,
        attributes: Attributes | None = None,
        began: float | None = None,
    ) -> Span:
        """Begin a span.

        Args:
            name: What is done.
            kind: On which side of a message or request.
            parent: Headers whose trace context it continues; without one, a trace begins.
            attributes: Of the span.
            began: Unix seconds; None for now.
        """
        return UNRECORDED

    def close(self) -> None:
        """Send what has been recorded."""


def of_record(
    step: str, partition: int, offset: int, topic: str | None = None, kind: str = "process"
) -> dict[str, Value | None]:
    """Return the attributes of a span that is about a record, by OpenTelemetry's conventions.

    Args:
        step: What is done with the record.
        partition: Its partition.
        offset: Its offset.
        topic: Its topic; None where the name of the span says enough.
        kind: The convention's type of operation.
    """
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": kind,
        "messaging.operation.name": step,
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
        "messaging.kafka.offset": offset,
    }


UNRECORDED = Span()
_tracer = Tracer()


def tracer() -> Tracer:
    """Return the tracer of this process."""
    return _tracer


def use(new: Tracer) -> Tracer:
    """Have `tracer` return another one.

    Returns:
        The one before.
    """
    global _tracer
    before, _tracer = _tracer, new
    return before
