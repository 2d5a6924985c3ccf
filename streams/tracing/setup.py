"""Traces of a process, as its environment wants them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Literal

from streams.tracing.spans import use

Exporter = Literal["otlp", "console", "none"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"


class TracesUnavailable(RuntimeError):
    """Traces are asked for and cannot be made. Says what to do."""


def chosen(asked: Exporter | None, environment: Mapping[str, str] = os.environ) -> Exporter:
    """Return where spans go.

    Args:
        asked: What the user has named; None: OTLP where the environment names an endpoint.
        environment: The OTEL_* variables.
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return "none"
    if asked is not None:
        return asked
    return "otlp" if any(environment.get(name) for name in ENDPOINTS) else "none"


def configure(service: str, asked: Exporter | None) -> None:
    """Have this process make spans; nothing of OpenTelemetry is loaded where they go nowhere.

    What is left is sent when the process ends.

    Args:
        service: Name of the service, where OTEL_SERVICE_NAME names none.
        asked: See `chosen`.

    Raises:
        TracesUnavailable: A package is missing, or the environment asks for another protocol.
    """
    exporter = chosen(asked)
    if exporter == "none":
        return
    wanted = next((os.environ[name] for name in PROTOCOLS if os.environ.get(name)), PROTOCOL)
    if exporter == "otlp" and wanted != PROTOCOL:
        raise TracesUnavailable(f"traces: found the protocol {wanted!r}, it must be {PROTOCOL}")
    try:
        from streams.tracing.otel import OtelTracer, console, otlp
    except ModuleNotFoundError as error:
        words = f"traces need {error.name}: pip install 'sluice-llm[otel]'"
        raise TracesUnavailable(words) from None
    processor = console() if exporter == "console" else otlp()
    use(OtelTracer(service, version("sluice-llm"), processor))
