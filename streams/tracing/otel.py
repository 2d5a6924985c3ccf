"""Spans of OpenTelemetry. Imported only where traces are configured."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streams.kafka.carried import TRACE
from streams.kafka.producer import Headers
from streams.tracing.context import for_http
from streams.tracing.spans import Attributes, Kind, Span, Tracer, Value

_KINDS: Mapping[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_W3C = TraceContextTextMapPropagator()


class OtelTracer(Tracer):
    """Makes spans of OpenTelemetry."""

    is_on = True

    def __init__(self, service: str, version: str, processor: SpanProcessor) -> None:
        """The sampler and more of the resource come from the standard OTEL_* variables.

        Args:
            service: The resource's `service.name`, where OTEL_SERVICE_NAME names none.
            version: Its `service.version`.
            processor: Takes the spans that have ended.
        """
        own = Resource.create({"service.name": service, "service.version": version})
        resource = own.merge(OTELResourceDetector().detect())  # the environment wins
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("sluice", version)

    def start(
        self,
        name: str,
        kind: Kind,
        parent: Headers,
        attributes: Attributes | None = None,
        began: float | None = None,
    ) -> Span:
        """Begin a span; see `Tracer.start`."""
        span = self._tracer.start_span(
            name,
            _W3C.extract(for_http(parent)),
            _KINDS[kind],
            _known(attributes or {}),
            start_time=_nano(began),
        )
        return _Recorded(self, span)

    def step(self, parent: OtelSpan, name: str, began: float, ended: float) -> None:
        """Record a child that is over."""
        context = set_span_in_context(parent)
        self._tracer.start_span(name, context, start_time=_nano(began)).end(_nano(ended))

    def close(self) -> None:
        """Send what has been recorded, and record no more."""
        self._provider.shutdown()


class _Recorded(Span):
    """A span of OpenTelemetry, which may not be sampled."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: OtelTracer, span: OtelSpan) -> None:
        self._tracer = tracer
        self._span = span

    def carried(self, headers: Headers) -> Headers:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(self._span))
        others = [(name, value) for name, value in headers if name not in TRACE]
        return [*others, *((name, value.encode()) for name, value in carrier.items())]

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(_known(attributes))

    def fail(self, kind: str, words: str = "") -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, words or None))

    def step(self, name: str, began: float, ended: float) -> None:
        if self._span.is_recording():
            self._tracer.step(self._span, name, began, ended)

    def end(self, at: float | None = None) -> None:
        self._span.end(_nano(at))


def otlp() -> SpanProcessor:
    """Return what sends spans in batches to the collector that the OTEL_* variables name."""
    return BatchSpanProcessor(OTLPSpanExporter())


def console() -> SpanProcessor:
    """Return what writes spans to standard error, a JSON object a line."""
    exporter = ConsoleSpanExporter(
        out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n"
    )
    return BatchSpanProcessor(exporter)


def _known(attributes: Attributes) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}


def _nano(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1e9)
