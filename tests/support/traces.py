"""Where spans go in tests: a list, or a collector of OpenTelemetry's protocol."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streams.tracing.otel import OtelTracer
from streams.tracing.spans import use

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""A client's `traceparent`."""
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
"""Its ids."""


@dataclass(frozen=True)
class Seen:
    """A span that has ended. Ids are hexadecimal; a root's parent is empty; times are Unix ns."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    began: int = 0
    ended: int = 0
    failed: bool = False
    attributes: dict[str, object] = field(default_factory=dict)


class Memory:
    """The spans of this process, in the order in which they ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def seen(self) -> list[Seen]:
        return [
            Seen(
                str(span.resource.attributes["service.name"]),
                span.name,
                f"{span.context.trace_id:032x}",
                f"{span.context.span_id:016x}",
                "" if span.parent is None else f"{span.parent.span_id:016x}",
                span.start_time or 0,
                span.end_time or 0,
                not span.status.is_ok,
                dict(span.attributes or {}),
            )
            for span in self.exporter.get_finished_spans()
        ]


@contextmanager
def recorded(service: str = "test") -> Iterator[Memory]:
    """Have this process make spans meanwhile, and keep them."""
    memory = Memory()
    tracer = OtelTracer(service, "0", SimpleSpanProcessor(memory.exporter))
    before = use(tracer)
    try:
        yield memory
    finally:
        use(before)
        tracer.close()


class Collector:
    """Takes spans by OTLP over HTTP, as a collector does. Use as a context."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer._take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def traces(self) -> dict[str, list[Seen]]:
        """By trace id, the spans that have come."""
        found: defaultdict[str, list[Seen]] = defaultdict(list)
        for span in list(self._seen):
            found[span.trace].append(span)
        return found

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self._seen += [
                    Seen(
                        about["service.name"],
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        attributes={
                            each.key: getattr(each.value, each.value.WhichOneof("value"))
                            for each in span.attributes
                        },
                    )
                    for span in scope.spans
                ]
