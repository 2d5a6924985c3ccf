"""The HTTP server of a process's metrics and probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server

from streams.metrics.health import WELL, Health, Probe

Address = tuple[str, int]
"""Host and port."""
METRICS = "/metrics"
ALIVE, READY = "/healthz", "/readyz"
"""200 where nothing is wrong; else 503, and a line for each reason."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""


def serve(
    registry: CollectorRegistry, host: str, port: int, health: Health = WELL
) -> Callable[[], None]:
    """Answer GET /metrics and the probes from a thread; every other path is 404.

    Args:
        registry: What /metrics shows.
        host: Address to listen on.
        port: Port to listen on.
        health: What the probes say.

    Returns:
        What ends the server.

    Raises:
        OSError: The address, which the error names, cannot be had.
    """
    # They are a series more for each one, which nobody asks for. (The function has no types.)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from error
    server.set_app(_known_paths(server.get_app(), {ALIVE: health.alive, READY: health.ready}))

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _known_paths(metrics: Any, probes: Mapping[str, Probe]) -> Application:
    """Keep an application that answers every path to its own one."""

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == METRICS:
            answer: Iterable[bytes] = metrics(environ, start)
            return answer
        if (probe := probes.get(path)) is None:
            status, lines = "404 Not Found", ["not found; metrics are at /metrics"]
        elif wrong := probe():
            status, lines = "503 Service Unavailable", list(wrong)
        else:
            status, lines = "200 OK", ["ok"]
        words = "".join(f"{line}\n" for line in lines).encode()
        type_and_length = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(words))),
        ]
        start(status, type_and_length)
        return [words]

    return application
