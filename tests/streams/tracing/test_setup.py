"""Whether a process makes spans, and where they go."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from streams.tracing.setup import Exporter, TracesUnavailable, chosen, configure
from streams.tracing.spans import tracer, use
from tests.support.traces import Collector


@pytest.fixture(autouse=True)
def tracer_kept() -> Iterator[None]:
    """The process's tracer is put back."""
    before = tracer()
    yield
    if (made := use(before)) is not before:
        made.close()


@pytest.mark.parametrize(
    ("asked", "environment", "expected"),
    [
        (None, {}, "none"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "otlp"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, "otlp"),
        ("otlp", {}, "otlp"),
        ("console", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "console"),
        ("none", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "none"),
        ("otlp", {"OTEL_SDK_DISABLED": "true"}, "none"),
    ],
    ids=["nothing", "endpoint", "own-endpoint", "asked", "console", "off", "disabled"],
)
def test_where_spans_go(
    asked: Exporter | None, environment: dict[str, str], expected: Exporter
) -> None:
    """By the option, else by the standard variables."""
    assert chosen(asked, environment) == expected


def test_nowhere_is_nothing() -> None:
    """No tracer is put in place."""
    before = tracer()
    configure("test", "none")
    assert tracer() is before


def test_a_collector_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the process ends at the latest."""
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        configure("sluice-test", None)
        tracer().start("work", "client", []).end()
        tracer().close()
        ((span,),) = collector.traces().values()
    assert (span.service, span.name) == ("sluice-test", "work")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "streams.tracing.otel", None)
    with pytest.raises(TracesUnavailable, match=r"sluice-llm\[otel\]"):
        configure("test", "otlp")


def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans would go to a port that does not take them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TracesUnavailable, match="'grpc', it must be http/protobuf"):
        configure("test", "otlp")
